// How the hits of a ray share its light, and the derivatives: event by event, from the front or from the back
// (sections 2 and 4). One thread a ray; `Ring` holds the hits.
#pragma once

#include "../abi.h"
#include "roll.cuh"

namespace voge {

// What became of a hit whose events are over.
template <class T>
struct Outcome {
  bool done = false;
  int32_t id = 0;
  T depth = 0, width = 0, mass = 0, weight = 0;  // depth along the walk
  T g_depth = 0, g_mass = 0, g_width = 0;
};

template <bool kBackward, class R, class T = std::decay_t<decltype(R::least)>>
VOGE_DEVICE Outcome<T> outcome_of(const R& ring, int slot) {
  Outcome<T> out;
  out.done = true, out.id = ring.id(slot), out.weight = ring.at(kWeight, slot);
  out.depth = ring.at(kDepth, slot), out.width = ring.at(kWidth, slot), out.mass = ring.at(kRate, slot) * out.width;
  if constexpr (kBackward)
    out.g_mass = ring.at(kToMass, slot), out.g_depth = ring.at(kPullDepth, slot),
    out.g_width = ring.at(kPullWidth, slot);
  return out;
}

// The hit's optical depth between the walk's bounds.
template <class R, class T>
VOGE_DEVICE T optical_depth(const R& ring, T depth, T width, T rate) {
  const T reach = ring.outer * width;
  if (depth - reach > ring.least && depth + reach < ring.most)
    return rate * width;  // edges far away have too few digits
  T sum = 0;
#pragma unroll
  for (int i = 0; i <= R::kInner; ++i)
    sum += rate * ring.share[i] * (ring.time(depth, width, ring.half[i]) - ring.time(depth, width, -ring.half[i]));
  return sum;
}

// `exact`, front to back: weights.
template <class T>
struct ExactForward {
  Sum<T> open, lit;  // rate of all open boxes, integral of T so far
  T time = INFINITY, passed = 0, lost = 0;  // passed + lost: optical depth so far
  T transmittance = 1;

  // Whether so much is in front of all that is to come that it does not count.
  VOGE_DEVICE bool dark(T enough) const { return passed > enough; }

  // An event; returns its slot, or -1 where it is not the last of its hit.
  template <class R>
  VOGE_DEVICE int step(R& ring, int stream, T t) {
    const T length = max(t - time, T(0)), depth = max(open.value(), T(0)) * length;
    time = t;
    lit.add(transmittance * length * interval(depth).phi);
    kahan(passed, lost, depth);
    transmittance = exp_fast(-passed);
    const bool begins = ring.begins(stream);
    const int box = ring.box_of(stream), outer = ring.boxes() - 1;
    const int slot = ring.take(stream);
    const T rate = ring.at(kRate, slot) * ring.of_box(ring.share, box);
    open.add(begins ? rate : -rate);
    if (begins && box == outer) ring.at(kLitHigh, slot) = lit.high, ring.at(kLitLow, slot) = lit.low;
    const T since = lit.since({ring.at(kLitHigh, slot), ring.at(kLitLow, slot)});
    if (box != outer) {
      T& inner = ring.inner_lit(false, box, slot);
      inner = begins ? since : rate * (since - inner);
    }
    if (begins || box != outer) return -1;
    T weight = rate * since;
#pragma unroll
    for (int i = 0; i < R::kInner; ++i)
      if (i < outer) weight += ring.inner_lit(false, i, slot);
    ring.at(kWeight, slot) = weight;
    return slot;
  }

  static VOGE_DEVICE void kahan(T& sum, T& lost, T v) {
    const T more = Sum<T>::plus(v, lost), total = Sum<T>::plus(sum, more);
    lost = Sum<T>::minus(more, Sum<T>::minus(total, sum)), sum = total;
  }
};

// `exact`, back to front: gradients to l, s and x. Boxes begin at their far ends.
template <class T>
struct ExactBackward {
  Sum<T> open, pull, lit, rest;  // rates; g x rates; integral of T and of R behind
  T time = INFINITY, blocked;    // optical depth of the whole ray
  T behind = 0, lost = 0;        // optical depth behind
  T radiance;                    // R: what of the loss comes from behind

  VOGE_DEVICE ExactBackward(T blocked_, T g_transmittance)
      : blocked(blocked_), radiance(exp_fast(-blocked_) * g_transmittance) {}

  template <class R>
  VOGE_DEVICE int step(R& ring, int stream, T t) {
    const T length = max(t - time, T(0)), depth = max(open.value(), T(0)) * length, want = pull.value();
    time = t;
    const Interval<T> part = interval(depth);
    ExactForward<T>::kahan(behind, lost, depth);
    const T at = exp_fast(min(behind - blocked, T(0)));
    const T stretch = at * length, light = stretch * part.phi;
    rest.add(length * (radiance + want * stretch * psi(depth, part)));
    radiance += want * light;
    lit.add(light);

    const bool begins = ring.begins(stream);
    const int box = ring.box_of(stream), outer = ring.boxes() - 1;
    const int slot = ring.take(stream);
    const T share = ring.of_box(ring.share, box), half = ring.of_box(ring.half, box);
    const T rate = ring.at(kRate, slot) * share, g = ring.at(kG, slot), signed_rate = begins ? rate : -rate;
    const bool cut = t <= ring.least || t >= ring.most;
    const T jump = cut ? T(0) : rate * (g * at - radiance);
    open.add(signed_rate), pull.add(g * signed_rate);
    const bool opens = begins && box == outer;
    T pull_depth = begins ? jump : -jump, pull_width = half * jump;
    if (opens) {
      ring.at(kLitHigh, slot) = lit.high, ring.at(kLitLow, slot) = lit.low;
      ring.at(kRestHigh, slot) = rest.high, ring.at(kRestLow, slot) = rest.low;
    } else {
      pull_depth += ring.at(kPullDepth, slot), pull_width += ring.at(kPullWidth, slot);
    }
    ring.at(kPullDepth, slot) = pull_depth, ring.at(kPullWidth, slot) = pull_width;
    const T lit_since = lit.since({ring.at(kLitHigh, slot), ring.at(kLitLow, slot)});
    const T rest_since = rest.since({ring.at(kRestHigh, slot), ring.at(kRestLow, slot)});
    if (box != outer) {
      T &inner_lit = ring.inner_lit(true, box, slot), &inner_rest = ring.inner_rest(box, slot);
      const T lit_here = lit_since - inner_lit;
      inner_rest = begins ? rest_since : share * (g * lit_here - (rest_since - inner_rest));
      inner_lit = begins ? lit_since : rate * lit_here;
    }
    if (begins || box != outer) return -1;
    T weight = rate * lit_since, to_density = share * (g * lit_since - rest_since);
#pragma unroll
    for (int i = 0; i < R::kInner; ++i)
      if (i < outer) weight += ring.inner_lit(true, i, slot), to_density += ring.inner_rest(i, slot);
    const T to_mass = to_density / ring.at(kWidth, slot);
    ring.at(kWeight, slot) = weight, ring.at(kToMass, slot) = to_mass;
    ring.at(kPullWidth, slot) = pull_width - to_mass * ring.at(kRate, slot);
    return slot;
  }
};

VOGE_DEVICE float one_minus_exp(float depth) { return -expm1f(-depth); }
VOGE_DEVICE double one_minus_exp(double depth) { return -expm1(-depth); }

// `sorted`: whole hits in order of their depths.
template <class T>
struct SortedForward {
  Sum<T> passed;

  VOGE_DEVICE bool dark(T) const { return false; }

  template <class R>
  VOGE_DEVICE int step(R& ring, int stream, T) {
    const int slot = ring.take(stream);
    const T mass = ring.at(kRate, slot) * ring.at(kWidth, slot);
    const T weight = exp_fast(-passed.value()) * one_minus_exp(mass);
    passed.add(mass);
    ring.at(kWeight, slot) = weight;
    return slot;
  }
};

template <class T>
struct SortedBackward {
  Sum<T> behind, radiance;
  T blocked;

  VOGE_DEVICE SortedBackward(T blocked_, T g_transmittance) : blocked(blocked_) {
    radiance.add(exp_fast(-blocked) * g_transmittance);
  }

  template <class R>
  VOGE_DEVICE int step(R& ring, int stream, T) {
    const int slot = ring.take(stream);
    const T mass = ring.at(kRate, slot) * ring.at(kWidth, slot), g = ring.at(kG, slot);
    const T after = exp_fast(min(behind.value() - blocked, T(0)));
    behind.add(mass);
    const T weight = exp_fast(min(behind.value() - blocked, T(0))) * one_minus_exp(mass);
    ring.at(kWeight, slot) = weight, ring.at(kToMass, slot) = g * after - radiance.value();
    ring.at(kPullDepth, slot) = ring.at(kPullWidth, slot) = 0;
    radiance.add(g * weight);
    return slot;
  }
};

// `paper`, over gathered hits in slots 0 to count - 1: every pair of them.
template <class T>
VOGE_DEVICE T passed_share(T z) { return T(0.5) * erfc(-z * T(0.70710678118654752)); }

template <class T, class R>
VOGE_DEVICE T paper_transmittance_at(const R& ring, int count, T depth) {
  T sum = 0;
  for (int j = 0; j < count; ++j) {
    const T width = ring.at(kWidth, j);
    sum += ring.at(kRate, j) * width * passed_share((depth - ring.at(kDepth, j)) / width);
  }
  return exp_fast(-sum);
}

// For every `stride`-th k from `begin`; between the two all weights must be there.
template <class T, class R>
VOGE_DEVICE void paper_forward(const R& ring, int count, int begin, int stride) {
  for (int k = begin; k < count; k += stride)
    ring.at(kWeight, k) =
        ring.at(kRate, k) * ring.at(kWidth, k) * paper_transmittance_at<T>(ring, count, ring.at(kDepth, k));
}

template <class T, class R>
VOGE_DEVICE void paper_backward(const R& ring, int count, T blocked, T g_transmittance, int begin, int stride) {
  for (int k = begin; k < count; k += stride) {
    const T depth = ring.at(kDepth, k), width = ring.at(kWidth, k), mass = ring.at(kRate, k) * width,
            g = ring.at(kG, k);
    const T mine = -g * ring.at(kWeight, k), density = T(0.3989422804014327);
    T g_depth = 0, g_width = 0,
      g_mass = g * paper_transmittance_at<T>(ring, count, depth) - g_transmittance * exp_fast(-blocked);
    for (int j = 0; j < count; ++j) {
      const T other_width = ring.at(kWidth, j), other = -ring.at(kG, j) * ring.at(kWeight, j);
      const T z = (depth - ring.at(kDepth, j)) / other_width, back = (ring.at(kDepth, j) - depth) / width;
      const T slope = other * mass * density * exp_fast(T(-0.5) * back * back) / width;
      g_depth += mine * ring.at(kRate, j) * density * exp_fast(T(-0.5) * z * z) - slope;
      g_mass += other * passed_share(back);
      g_width -= slope * back;
    }
    ring.at(kToMass, k) = g_mass, ring.at(kPullDepth, k) = g_depth, ring.at(kPullWidth, k) = g_width;
  }
}

}  // namespace voge

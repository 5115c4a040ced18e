// How the hits of a ray share its light, and the derivatives: event by event, from the front or from the back
// (sections 2 and 4). One thread a ray; `Ring` holds the hits.
#pragma once

#include "../abi.h"
#include "roll.cuh"

namespace voge {

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
struct ExactForward {
  Sum<float> open, lit;  // rate of all open boxes, integral of T so far
  float time = INFINITY, passed = 0, transmittance = 1;  // passed: optical depth so far

  // Whether so much is in front of all that is to come that it does not count.
  VOGE_DEVICE bool dark(float enough) const { return passed > enough; }

  // The event at t; returns its slot, or -1 where it is not the last of its hit.
  template <class R>
  VOGE_DEVICE int step(R& ring, int stream, float t) {
    const int slot = ring.take(stream);  // first: memory answers late
    const float at = ring.within(t), length = max(at - time, 0.0f), rate_open = max(open.value(), 0.0f);
    const float depth = rate_open * length, until = passed + depth, beyond = exp_fast(-until);
    lit.gain(depth > 0.02f ? quotient(transmittance - beyond, rate_open)
                           : transmittance * length * (1 - depth * (0.5f - depth * (1.0f / 6))));
    time = at, passed = until, transmittance = beyond;

    const bool begins = R::begins(stream), outer = R::is_outer(stream);
    const float rate = ring.hit(slot).z * ring.of_box(ring.share, outer ? R::kInner : 0);
    open.add(begins ? rate : -rate);
    // No branches: of 32 rays some take each of them.
    const float2 begun = ring.begun(slot);
    const float since = lit.since(begun.x, begun.y), inside = R::kInner > 0 ? ring.inside(slot) : 0.0f;
    const float ended = rate * (outer ? since : since - inside) + (outer ? inside : 0.0f);
    if (begins && outer) ring.begun(slot) = make_float2(lit.high, lit.low);
    else ring.inside(slot) = begins ? since : ended;
    return outer && !begins ? slot : -1;
  }
};

// `exact`, back to front: gradients to l, s and x. Boxes begin at their far ends.
struct ExactBackward {
  Sum<float> open, pull, lit, rest;  // rates; g x rates; integral of T and of R behind
  float time = INFINITY, blocked;    // optical depth of the whole ray
  float behind = 0, lost = 0;        // optical depth behind, and what its sum lost
  float radiance;                    // R: what of the loss comes from behind

  VOGE_DEVICE ExactBackward(float blocked_, float g_transmittance)
      : blocked(blocked_), radiance(exp_fast(-blocked_) * g_transmittance) {}

  template <class R>
  VOGE_DEVICE int step(R& ring, int stream, float t) {
    const int slot = ring.take(stream);  // first: memory answers late
    const float at = ring.within(t), length = max(at - time, 0.0f), want = pull.value();
    const float rate_open = max(open.value(), 0.0f), depth = rate_open * length;
    time = at;
    add_behind(depth);
    const float transmittance = exp_fast(min(behind - blocked, 0.0f)), stretch = transmittance * length;
    const float passed = exp_fast(-depth), each = reciprocal(rate_open);
    const float light =
        depth > 0.02f ? transmittance * (1 - passed) * each : stretch * (1 - depth * (0.5f - depth * (1.0f / 6)));
    // The integral of what of the light lies between a point and the segment's far end.
    const float series = 0.5f - depth * (1.0f / 3 - depth * (0.125f - depth * (1.0f / 30)));
    const float second = depth > 0.1f ? (light - stretch * passed) * each : stretch * length * series;
    rest.gain(length * radiance + want * second);
    radiance += want * light;
    lit.gain(light);

    const bool begins = R::begins(stream), outer = R::is_outer(stream), opens = begins && outer;
    const int box = outer ? R::kInner : 0;
    const float4 hit = ring.hit(slot);
    const float share = ring.of_box(ring.share, box), half = ring.of_box(ring.half, box);
    const float rate = hit.z * share, g = hit.w, change = begins ? rate : -rate;
    const bool cut = t <= ring.least || t >= ring.most;
    const float jump = cut ? 0.0f : rate * (g * transmittance - radiance);
    open.add(change), pull.add(g * change);
    const float4 begun = ring.begun(slot);
    float4 sums = ring.sums(slot);
    if (opens) ring.begun(slot) = make_float4(lit.high, lit.low, rest.high, rest.low);
    if (opens) sums = make_float4(0, 0, 0, 0);
    const float lit_since = opens ? 0.0f : lit.since(begun.x, begun.y);
    const float rest_since = opens ? 0.0f : rest.since(begun.z, begun.w);
    const float inside = share * (g * lit_since - rest_since);
    sums.x += begins ? -inside : inside, sums.y -= change * lit_since;
    sums.z += begins ? jump : -jump, sums.w += half * jump;
    ring.sums(slot) = sums;
    return outer && !begins ? slot : -1;
  }

 private:
  VOGE_DEVICE void add_behind(float depth) {
    using S = Sum<float>;
    const float more = S::plus(depth, lost), total = S::plus(behind, more);
    lost = S::minus(more, S::minus(total, behind)), behind = total;
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
VOGE_DEVICE T passed_share(T z) {
  return T(0.5) * erfc(-z * T(0.70710678118654752));
}

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
    T g_depth = 0, g_width = 0, g_mass = g * ring.at(kWeight, k) / mass - g_transmittance * exp_fast(-blocked);
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

// Rays from their tiles' lists to what a job makes of their hits.
//
// In large images 32 rays of a tile walk side by side, a thread a ray, with a few hits each in shared memory (Walk).
// Where a ray has more hits at work at once than fit, and where there are too few rays to keep a GPU busy so, a warp
// takes a single ray and all its hits at once (WarpWalk), in shared memory or, if they are very many, in global memory.
#pragma once

#include "rays.cuh"
#include "sweep_warp.cuh"

namespace voge {

VOGE_DEVICE float reciprocal_root(float v) { return rsqrtf(v); }
VOGE_DEVICE double reciprocal_root(double v) { return rsqrt(v); }

// Distances along a walk: from the back they are counted backwards.
template <bool kBackward, class T>
VOGE_DEVICE T along(T depth) { return kBackward ? -depth : depth; }

// s and x / s of a hit.
template <class T>
struct Met {
  T width = 1, rate = 0;
  Met() = default;
  VOGE_DEVICE Met(const Packed<T>& e, const Hit<T>& hit)
      : width(reciprocal_root(hit.precision)), rate(e.density * exp_fast(hit.exponent) * (hit.precision * width)) {}
};

// The bounds of a walk along a ray that starts at its `shift`.
template <class T>
struct Bounds {
  T near_distance, far_distance;  // local
  VOGE_DEVICE Bounds(const voge_scene& s, T shift)
      : near_distance(static_cast<T>(s.near_distance) - shift), far_distance(static_cast<T>(s.far_distance) - shift) {}
  VOGE_DEVICE T least(bool backward) const { return backward ? -far_distance : near_distance; }
  VOGE_DEVICE T most(bool backward) const { return backward ? -near_distance : far_distance; }
  VOGE_DEVICE bool hold(const Hit<T>& hit, T least_exponent) const {
    return hit.exponent >= least_exponent && hit.depth > near_distance && hit.depth < far_distance;
  }
};

template <class T, bool kBackward, bool kOnlyDepth>
using SweepOf = std::conditional_t<kOnlyDepth, std::conditional_t<kBackward, SortedBackward<T>, SortedForward<T>>,
                                   std::conditional_t<kBackward, ExactBackward<T>, ExactForward<T>>>;
template <bool kBackward, class Sweep, class T, class Job>
VOGE_DEVICE Sweep start_sweep(T blocked, const Job& job) {
  if constexpr (kBackward) return Sweep(blocked, job.g_transmittance());
  else return Sweep();
}

// A thread a ray, 32 of them side by side. `Job` decides the direction.
template <class Ring, class Job>
struct Walk {
  using T = float;
  static constexpr bool kBackward = Job::kBackward;
  using Sweep = SweepOf<T, kBackward, Ring::kOnlyDepth>;
  const voge_scene& s;
  const LocalRay<T>& ray;
  const WarpLists& lists;
  Job& job;
  const Bounds<T> bounds;
  Ring ring;
  const bool valid;
  bool alive, fits = true;
  Sum<T> blocked;  // optical depth of the hits between the bounds

  VOGE_DEVICE Walk(const voge_scene& s_, const LocalRay<T>& ray_, const WarpLists& lists_, Job& job_, char* memory,
                   bool valid_)
      : s(s_),
        ray(ray_),
        lists(lists_),
        job(job_),
        bounds(s_, ray_.shift),
        ring(memory, lists_.lane, kBackward, bounds.least(kBackward), bounds.most(kBackward)),
        valid(valid_),
        alive(valid_) {}

  VOGE_DEVICE void run() {
    if constexpr (kBackward) {
      measure();
      if (!fits) alive = false;
    }
    Sweep sweep = start_sweep<kBackward, Sweep>(blocked.value(), job);
    // Hits go in as their tile lists them, events come out as soon as no later candidate can precede them.
    lists.template each<kBackward>(alive, [&](const Packed<T>& e, int32_t id, T edge, bool end) VOGE_INLINED {
      const Hit<T> hit = intersect(e.mean, e.whitening, ray.origin, ray.direction);
      bool kept = alive && !end && bounds.hold(hit, e.least);
      if (end || WarpLists::any(kept && ring.full())) {
        advance(sweep, end ? static_cast<T>(INFINITY) : along<kBackward>(edge - ray.shift));
        if constexpr (!kBackward) {
          if (sweep.dark(job.enough)) alive = kept = false;
        }
        if (kept && ring.full()) fits = alive = kept = false;
      }
      T g = 0;
      if constexpr (kBackward) g = job.gradient(s, kept, id, hit.depth + ray.shift);
      if (!kept) return;
      const Met<T> met(e, hit);
      const T depth = along<kBackward>(hit.depth);
      const int slot = ring.add(depth, met.width, met.rate, id);
      if constexpr (kBackward) ring.at(kG, slot) = g;
      else blocked.add(optical_depth(ring, depth, met.width, met.rate));
      ring.enlist(slot, depth, met.width);
    });
    if (fits && valid) job.end(s, exp_fast(-blocked.value()));
  }

 private:
  // All events before `bound`, then what they finish: lanes have about as many of both, but not at the same time.
  VOGE_DEVICE void advance(Sweep& sweep, T bound) {
    while (true) {
      T t = 0;
      const int stream = fits ? ring.earliest(bound, t) : -1;
      if (!WarpLists::any(stream >= 0)) break;
      if (stream < 0) continue;
      const int slot = sweep.step(ring, stream, t);
      if (slot >= 0) ring.finished |= 1u << slot;
    }
    while (WarpLists::any(ring.finished != 0)) {
      Outcome<T> out;
      if (ring.finished != 0) out = outcome_of<kBackward>(ring, ring.take_finished());
      out.depth = along<kBackward>(out.depth);
      job.take(s, ray, out);
    }
  }

  // The optical depth of the ray, and whether its hits will fit: what is still at work when a place is needed. Held to
  // be at work a little longer than it is, so that rounding cannot let the walk itself run out.
  VOGE_DEVICE void measure() {
    int count = 0;
    lists.template each<true>(valid, [&](const Packed<T>& e, int32_t, T edge, bool end) VOGE_INLINED {
      const Hit<T> hit = intersect(e.mean, e.whitening, ray.origin, ray.direction);
      if (!alive || end || !bounds.hold(hit, e.least)) return;
      const Met<T> met(e, hit);
      const T depth = along<true>(hit.depth);
      blocked.add(optical_depth(ring, depth, met.width, met.rate));
      if (count == Ring::kCapacity) {
        const T bound = along<true>(edge - ray.shift);
        count = 0;
        for (int k = 0; k < Ring::kCapacity; ++k) {
          const T last = ring.at(kDepth, k);
          if (!(last < bound - T(1e-5) * (fabs(bound) + fabs(last)))) ring.at(kDepth, count++) = last;
        }
        if (count == Ring::kCapacity) fits = false, count = 0;
      }
      ring.at(kDepth, count++) = ring.time(depth, met.width, ring.outer);
    });
  }
};

// A warp a ray: all hits, then all events.
template <class T, bool kExact, class Job>
struct WarpWalk {
  static constexpr bool kBackward = Job::kBackward;
  using Sorted = SweepOf<T, kBackward, true>;
  const voge_scene& s;
  const LocalRay<T>& ray;
  Job& job;
  const Bounds<T> bounds;
  Roll<T, kExact> roll;
  const int lane = threadIdx.x;

  VOGE_DEVICE WarpWalk(const voge_scene& s_, const LocalRay<T>& ray_, Job& job_, char* memory, int capacity)
      : s(s_), ray(ray_), job(job_), bounds(s_, ray_.shift),
        roll(memory, capacity, s_.boxes, threadIdx.x, kBackward, bounds.least(kBackward), bounds.most(kBackward)) {}

  // False, with nothing done, if the hits do not fit.
  VOGE_DEVICE bool run() {
    if (!collect()) return false;
    if (s.limit > 0) roll.keep_nearest(s.limit);
    if constexpr (Job::kRows) roll.order_depths();
    const bool pairs = !kExact && s.aggregation == VOGE_PAPER;
    T blocked = 0;
    for (int base = 0; base < roll.count; base += 32) {
      const int k = base + lane, slot = slot_of(k);
      const bool mine = k < roll.count;
      const T depth = mine ? roll.at(kDepth, slot) : T(0);
      if constexpr (kBackward) {
        const T g = job.gradient(s, mine, mine ? roll.id(slot) : 0, depth + ray.shift, k);
        if (mine) roll.at(kG, slot) = g;
      }
      if (!mine) continue;
      blocked += optical_depth(roll, along<kBackward>(depth), roll.at(kWidth, slot), roll.at(kRate, slot));
      if (!pairs) roll.at(kDepth, slot) = along<kBackward>(depth);
    }
    blocked = warp_sum(blocked);
    __syncwarp();
    if (pairs) weigh_pairs(blocked);
    else sweep(blocked);
    hand_over(pairs);
    job.gather();
    if (lane == 0) job.end(s, exp_fast(-blocked));
    __syncwarp();
    return true;
  }

 private:
  VOGE_DEVICE bool collect() {
    const T* rows = static_cast<const T*>(s.packed);
    const bool may_stop = kExact && !kBackward && s.limit == 0 && job.enough < T(INFINITY);
    for (int64_t base = ray.begin; base < ray.end; base += 32) {
      const int64_t i = base + lane;
      bool kept = false;
      int32_t id = 0;
      Hit<T> hit{};
      Met<T> met;
      if (i < ray.end) {
        id = s.tile_members[i];
        const Packed<T> e = load_packed(rows, id);
        hit = intersect(e.mean, e.whitening, ray.origin, ray.direction);
        kept = bounds.hold(hit, e.least);
        if (kept) met = Met<T>(e, hit);
      }
      if (!roll.add(kept, hit.depth, met.width, met.rate, id)) return false;
      if (!may_stop || base + 32 >= ray.end) continue;
      // Whether what lies wholly in front of all later members lets less than that pass.
      __syncwarp();
      const T bound = static_cast<const T*>(s.tile_nearest)[base + 32] - ray.shift;
      T passed = 0;
      for (int k = lane; k < roll.count; k += 32)
        if (roll.at(kDepth, k) + roll.outer * roll.at(kWidth, k) < bound)
          passed += roll.at(kRate, k) * roll.at(kWidth, k);
      if (warp_sum(passed) > job.enough) break;
    }
    __syncwarp();
    return true;
  }

  VOGE_DEVICE int slot_of(int k) const { return Job::kRows && k < roll.count ? roll.slot_in_order(k) : k; }

  VOGE_DEVICE void sweep(T blocked) {
    roll.order();
    if constexpr (!kExact) {
      if (lane == 0) {
        Sorted sweep = start_sweep<kBackward, Sorted>(blocked, job);
        while (roll.next < roll.total) sweep.step(roll, 0, T(0));
      }
      __syncwarp();
    } else if constexpr (kBackward) {
      exact_backward<T>(roll, blocked, job.g_transmittance());
    } else {
      exact_forward<T>(roll);
    }
  }

  VOGE_DEVICE void weigh_pairs(T blocked) {
    paper_forward<T>(roll, roll.count, lane, 32);
    __syncwarp();
    if constexpr (kBackward) paper_backward<T>(roll, roll.count, blocked, job.g_transmittance(), lane, 32);
    __syncwarp();
  }

  VOGE_DEVICE void hand_over(bool pairs) {
    if (kBackward && !pairs) {
      for (int k = lane; k < roll.count; k += 32) roll.at(kDepth, k) = along<kBackward>(roll.at(kDepth, k));
      __syncwarp();
    }
    if constexpr (Job::kRows) roll.order_depths();
    for (int base = 0; base < roll.count; base += 32) {
      const int k = base + lane;
      Outcome<T> out;
      if (k < roll.count) out = outcome_of<kBackward>(roll, slot_of(k));
      job.take(s, ray, out, k);
    }
  }
};

}  // namespace voge

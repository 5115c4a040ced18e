// Rays from their tiles' lists to what a job makes of their hits.
//
// In large images 32 rays of a tile walk side by side, a thread a ray, with a few hits each in shared memory (Walk).
// Where a ray has more hits at work at once than fit, and where there are too few rays to keep a GPU busy so, a warp
// takes a single ray and all its hits at once (WarpWalk), in shared memory or, if they are very many, in global memory.
#pragma once

#include "rays.cuh"
#include "sweep_warp.cuh"

namespace voge {

VOGE_DEVICE float reciprocal_root(float v) {
  float out;
  asm("rsqrt.approx.ftz.f32 %0, %1;" : "=f"(out) : "f"(v));
  return out;
}
VOGE_DEVICE double reciprocal_root(double v) { return rsqrt(v); }

// Distances along a walk: from the back they are counted backwards.
template <bool kBackward, class T>
VOGE_DEVICE T along(T depth) {
  return kBackward ? -depth : depth;
}

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
      : near_distance(number(s.near_distance, shift)), far_distance(number(s.far_distance, shift)) {}
  VOGE_DEVICE T least(bool backward) const { return backward ? -far_distance : near_distance; }
  VOGE_DEVICE T most(bool backward) const { return backward ? -near_distance : far_distance; }
  VOGE_DEVICE bool hold(const Hit<T>& hit, T least_exponent) const {
    return hit.exponent >= least_exponent && hit.depth > near_distance && hit.depth < far_distance;
  }

 private:
  // Kept as it is: else it is converted from double precision wherever it is used.
  static VOGE_DEVICE float number(double distance, float shift) {
    float out = static_cast<float>(distance) - shift;
    asm volatile("" : "+f"(out));
    return out;
  }
  static VOGE_DEVICE double number(double distance, double shift) { return distance - shift; }
};

template <class T, bool kBackward>
using SortedSweep = std::conditional_t<kBackward, SortedBackward<T>, SortedForward<T>>;
template <bool kBackward>
using ExactSweep = std::conditional_t<kBackward, ExactBackward, ExactForward>;
template <bool kBackward, class Sweep, class T, class Job>
VOGE_DEVICE Sweep start_sweep(T blocked, const Job& job) {
  if constexpr (kBackward) return Sweep(blocked, job.g_transmittance());
  else return Sweep();
}

// A thread a ray, 32 of them side by side. `Job` decides the direction.
template <class Ring, class Lists, class Job>
struct Walk {
  using T = float;
  static constexpr bool kBackward = Job::kBackward;
  using Sweep = std::conditional_t<Ring::kOnlyDepth, SortedSweep<T, kBackward>, ExactSweep<kBackward>>;
  const voge_scene& s;
  const LocalRay<T>& ray;
  const Lists& lists;
  Job& job;
  const Bounds<T> bounds;
  Ring ring;
  const bool valid;
  bool alive = false, overflows = false;
  Sum<T> blocked;  // optical depth of the hits between the bounds

  VOGE_DEVICE Walk(const voge_scene& s_, const LocalRay<T>& ray_, const Lists& lists_, Job& job_, char* memory,
                   bool valid_)
      : s(s_),
        ray(ray_),
        lists(lists_),
        job(job_),
        bounds(s_, ray_.shift),
        ring(memory, lists_.lane, bounds.least(kBackward), bounds.most(kBackward)),
        valid(valid_) {}

  // What rays that overflow have given to their ellipsoids by then is taken back: the next kernel starts them anew.
  // They overflow at the same ellipsoid again, since what is at work there does not depend on when events came out.
  VOGE_DEVICE void run() {
    if constexpr (kBackward) know_blocked();
    for (bool mine = valid;; mine = overflows) {
      walk(mine);
      if constexpr (kBackward) {
        if (any(overflows) && !job.takes_back()) {
          job.take_back(), ring.clear();
          continue;
        }
      }
      break;
    }
    job.end(s, valid && !overflows, exp_fast(-blocked.value()));
  }

 private:
  // Hits go in as their tile lists them, events come out as soon as no later candidate can precede them.
  VOGE_DEVICE void walk(bool mine) {
    alive = mine, overflows = false;
    Sweep sweep = start_sweep<kBackward, Sweep>(blocked.value(), job);
    lists.template each<kBackward>(
        alive, [&](const Packed<T>& e, int32_t id, float4 color, T edge, bool end) VOGE_INLINED {
          const Hit<T> hit = intersect(e.mean, e.whitening, ray.origin, ray.direction);
          bool kept = alive && !end && bounds.hold(hit, e.least);
          if (end || any(kept && ring.full())) {
            advance(sweep, end ? static_cast<T>(INFINITY) : along<kBackward>(edge - ray.shift));
            if constexpr (!kBackward) {
              if (sweep.dark(job.enough)) alive = kept = false;
            }
            if (kept && ring.full()) overflows = true, alive = kept = false;
          }
          T g = 0;
          if constexpr (kBackward) g = job.gradient(s, kept, id, hit.depth + ray.shift, &color);
          if (!kept) return;
          const Met<T> met(e, hit);
          const T depth = along<kBackward>(hit.depth);
          if constexpr (!kBackward) blocked.add(optical_depth(ring, depth, met.width, met.rate));
          ring.add(depth, met.width, met.rate, id, g);
        });
  }

  // All events before `bound`, then what they finish: lanes have about as many of both, but not at the same time. What
  // memory knows of the next is asked for before the present is worked on.
  VOGE_DEVICE void advance(Sweep& sweep, T bound) {
    T t;
    for (int stream = ring.earliest(t); !overflows && t < bound; stream = ring.earliest(t)) {
      const int slot = sweep.step(ring, stream, t);
      if (slot >= 0) ring.finished |= 1u << slot;
    }
    Outcome<T> now = finished();
    auto known = job.fetch(s, now);
    while (any(now.done)) {
      const Outcome<T> next = finished();
      const auto known_next = job.fetch(s, next);
      job.take(s, ray, now, known);
      now = next, known = known_next;
    }
  }

  VOGE_DEVICE Outcome<T> finished() {
    Outcome<T> out;
    if (ring.finished != 0) out = ring.outcome(ring.take_finished());
    out.depth = along<kBackward>(out.depth);
    return out;
  }

  // The optical depth of the whole ray: from what its picture let pass or, where that is too little to tell, from its
  // hits.
  VOGE_DEVICE void know_blocked() {
    const T passed = job.transmittance(s);
    const bool told = passed > T(1e-30) && passed > T(1.01) * static_cast<T>(s.stop_transmittance);
    const bool asks = valid && !told;
    if (told) blocked.high = -logf(passed);
    if (!any(asks)) return;
    lists.template each<true>(asks, [&](const Packed<T>& e, int32_t, float4, T, bool end) VOGE_INLINED {
      const Hit<T> hit = intersect(e.mean, e.whitening, ray.origin, ray.direction);
      if (!asks || end || !bounds.hold(hit, e.least)) return;
      const Met<T> met(e, hit);
      blocked.add(optical_depth(ring, along<true>(hit.depth), met.width, met.rate));
    });
  }
};

// A warp a ray: all hits, then all events.
template <class T, bool kExact, class Job>
struct WarpWalk {
  static constexpr bool kBackward = Job::kBackward;
  using Sorted = SortedSweep<T, kBackward>;
  const voge_scene& s;
  const LocalRay<T>& ray;
  Job& job;
  const Bounds<T> bounds;
  Roll<T, kExact> roll;
  const int lane = threadIdx.x;

  VOGE_DEVICE WarpWalk(const voge_scene& s_, const LocalRay<T>& ray_, Job& job_, char* memory, int capacity)
      : s(s_),
        ray(ray_),
        job(job_),
        bounds(s_, ray_.shift),
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
        const T g = job.gradient(s, mine, mine ? roll.id(slot) : 0, depth + ray.shift, nullptr, k);
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
    job.end(s, lane == 0, exp_fast(-blocked));
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
      if (k < roll.count) out = roll.template outcome<kBackward>(slot_of(k));
      job.take(s, ray, out, job.fetch(s, out), k);
    }
  }
};

}  // namespace voge

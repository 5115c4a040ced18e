// `exact` for a warp that has all events of one ray in order: the sums of sweep.cuh as sums over lanes, in double
// precision. From the back as from the front, events count along the walk; boxes then begin at their far ends.
#pragma once

#include "sweep.cuh"

namespace voge {

// Sum over all lanes before and including this one.
VOGE_DEVICE double scan(double value, int lane) {
#pragma unroll
  for (int step = 1; step < 32; step *= 2) {
    const double other = __shfl_up_sync(0xffffffffu, value, step);
    if (lane >= step) value += other;
  }
  return value;
}

// What lies before a lane's own part; `carry`, the sum of earlier rounds, takes in this one.
VOGE_DEVICE double before(double own, double& carry, int lane) {
  const double until = carry + scan(own, lane);
  carry = __shfl_sync(0xffffffffu, until, 31);
  return until - own;
}

constexpr int kEach = 4;  // consecutive events that a lane sums by itself

// A lane's events of one round; those beyond the last change nothing and take no time.
template <class T>
struct Stretch {
  T change[kEach], length[kEach], time[kEach];  // of the rate, positive where a box begins; since the event before
  int hit[kEach], stream[kEach];                // -1 beyond the last

  template <class R>
  VOGE_DEVICE Stretch(const R& roll, int first) {
    T last = first > 0 && first <= roll.total ? roll.time_at(first - 1) : T(0);
#pragma unroll
    for (int e = 0; e < kEach; ++e) {
      const int i = first + e;
      change[e] = 0, length[e] = 0, time[e] = 0, hit[e] = -1, stream[e] = 0;
      if (i >= roll.total) continue;
      time[e] = roll.time_at(i), hit[e] = roll.hit_at(i), stream[e] = roll.stream_at(i);
      const T rate = roll.at(kRate, hit[e]) * roll.of_box(roll.share, roll.box_of(stream[e]));
      change[e] = roll.begins(stream[e]) ? rate : -rate;
      if (i > 0) length[e] = time[e] - last;
      last = time[e];
    }
  }
};

template <class T, class R>
VOGE_DEVICE void exact_forward(const R& roll) {
  double rate = 0, front = 0, lit = 0;
  for (int base = 0; base < roll.total; base += 32 * kEach) {
    const Stretch<T> events(roll, base + roll.lane * kEach);
    double own = 0;
#pragma unroll
    for (int e = 0; e < kEach; ++e) own += events.change[e];
    double open = before(own, rate, roll.lane), optical = 0;
    T depth[kEach];
#pragma unroll
    for (int e = 0; e < kEach; ++e)
      depth[e] = static_cast<T>(max(open, 0.0)) * events.length[e], optical += depth[e], open += events.change[e];
    double passed = before(optical, front, roll.lane), gained[kEach], gain = 0;
#pragma unroll
    for (int e = 0; e < kEach; ++e) {
      gained[e] = exp_fast(static_cast<T>(-passed)) * interval(depth[e]).phi * events.length[e];
      passed += depth[e], gain += gained[e];
    }
    double level = before(gain, lit, roll.lane);
#pragma unroll
    for (int e = 0; e < kEach; ++e) {
      level += gained[e];
      if (events.hit[e] >= 0) roll.lit(events.hit[e], events.stream[e]) = level;
    }
  }
  __syncwarp();
  for (int k = roll.lane; k < roll.count; k += 32) {
    double weight = 0;
    for (int box = 0; box < roll.boxes(); ++box)
      weight += roll.at(kRate, k) * roll.of_box(roll.share, box) *
                (roll.lit(k, roll.end_of(box)) - roll.lit(k, roll.begin_of(box)));
    roll.at(kWeight, k) = static_cast<T>(weight);
  }
  __syncwarp();
}

template <class T, class R>
VOGE_DEVICE void exact_backward(const R& roll, T blocked, T g_transmittance) {
  double rate = 0, pull = 0, behind = 0, lit = 0, radiance = exp(-static_cast<double>(blocked)) * g_transmittance,
         rest = 0;
  for (int base = 0; base < roll.total; base += 32 * kEach) {
    const Stretch<T> events(roll, base + roll.lane * kEach);
    T g[kEach];
    double opening = 0, pulling = 0;
#pragma unroll
    for (int e = 0; e < kEach; ++e) {
      g[e] = events.hit[e] >= 0 ? roll.at(kG, events.hit[e]) : T(0);
      opening += events.change[e], pulling += g[e] * events.change[e];
    }
    double open = before(opening, rate, roll.lane), wanted = before(pulling, pull, roll.lane);
    T depth[kEach];
    double want[kEach], optical = 0;
#pragma unroll
    for (int e = 0; e < kEach; ++e) {
      depth[e] = static_cast<T>(max(open, 0.0)) * events.length[e], want[e] = wanted, optical += depth[e];
      open += events.change[e], wanted += g[e] * events.change[e];
    }
    double passed = before(optical, behind, roll.lane);
    double at[kEach], light[kEach], second[kEach], lights = 0, pulled = 0;
#pragma unroll
    for (int e = 0; e < kEach; ++e) {
      const Interval<T> part = interval(depth[e]);
      passed += depth[e], at[e] = exp(passed - blocked);
      light[e] = at[e] * static_cast<double>(part.phi * events.length[e]);
      second[e] = at[e] * static_cast<double>(psi(depth[e], part) * events.length[e] * events.length[e]);
      lights += light[e], pulled += want[e] * light[e];
    }
    double seen = before(lights, lit, roll.lane), from = before(pulled, radiance, roll.lane), resting = 0, start = from;
#pragma unroll
    for (int e = 0; e < kEach; ++e) {
      second[e] = start * events.length[e] + want[e] * second[e];
      start += want[e] * light[e], resting += second[e];
    }
    double integral = before(resting, rest, roll.lane);
#pragma unroll
    for (int e = 0; e < kEach; ++e) {
      seen += light[e], from += want[e] * light[e], integral += second[e];
      if (events.hit[e] < 0) continue;
      const bool cut = events.time[e] <= roll.least || events.time[e] >= roll.most;
      roll.jump(events.hit[e], events.stream[e]) =
          cut ? T(0) : static_cast<T>(fabs(events.change[e]) * (g[e] * at[e] - from));
      roll.lit(events.hit[e], events.stream[e]) = seen;
      roll.inside(events.hit[e], events.stream[e]) = g[e] * seen - integral;
    }
  }
  __syncwarp();
  for (int k = roll.lane; k < roll.count; k += 32) {
    const T width = roll.at(kWidth, k), of_hit = roll.at(kRate, k);
    T to_density = 0, pull_depth = 0, pull_width = 0;
    double weight = 0;
    for (int box = 0; box < roll.boxes(); ++box) {
      const int begin = roll.begin_of(box), end = roll.end_of(box);
      const T share = roll.of_box(roll.share, box);
      weight += of_hit * share * (roll.lit(k, end) - roll.lit(k, begin));
      to_density += share * static_cast<T>(roll.inside(k, end) - roll.inside(k, begin));
      pull_depth += roll.jump(k, begin) - roll.jump(k, end);
      pull_width += roll.of_box(roll.half, box) * (roll.jump(k, begin) + roll.jump(k, end));
    }
    const T to_mass = to_density / width;
    roll.at(kWeight, k) = static_cast<T>(weight), roll.at(kToMass, k) = to_mass;
    roll.at(kPullDepth, k) = pull_depth, roll.at(kPullWidth, k) = pull_width - to_mass * of_hit;
  }
  __syncwarp();
}

}  // namespace voge

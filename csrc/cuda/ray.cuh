// One ray on a team of threads: its hits, how they share its light, and the derivatives (section 2 and 4).
#pragma once

#include <cfloat>

#include "../bounds.h"
#include "team.cuh"

namespace voge {

constexpr int kRow = 16;  // scalars of a packed ellipsoid: centre, whitening, density, least exponent, two unused

// Events in order of time, then of what they are: one unsigned number for float, a pair for double.
struct DoubleKey {
  double t;
  uint32_t code;
  __device__ bool operator<(const DoubleKey& o) const { return t < o.t || (t == o.t && code < o.code); }
};
__device__ inline DoubleKey shuffle_xor(DoubleKey key, int lanes) {
  return {__shfl_xor_sync(0xffffffffu, key.t, lanes), __shfl_xor_sync(0xffffffffu, key.code, lanes)};
}
template <class T>
struct EventKey;
template <>
struct EventKey<float> {
  using type = unsigned long long;
  __device__ static type make(float t, uint32_t code) { return (static_cast<type>(ordered(t)) << 32) | code; }
  __device__ static float time(type key) { return unordered(static_cast<uint32_t>(key >> 32)); }
  __device__ static uint32_t code(type key) { return static_cast<uint32_t>(key); }
};
template <>
struct EventKey<double> {
  using type = DoubleKey;
  __device__ static type make(double t, uint32_t code) { return {t, code}; }
  __device__ static double time(type key) { return key.t; }
  __device__ static uint32_t code(type key) { return key.code; }
};
constexpr uint32_t kPadding = 0xffffffffu;  // sorts last

// What a team knows of its ray, in shared memory or, for rays with very many hits, in global memory.
// Events are numbered hit * 2 * boxes + 2 * i + (1 for leaving).
template <class T>
struct RayMemory {
  using Key = typename EventKey<T>::type;
  int events, hits;  // capacities
  Key* keys;
  double *level, *inside;
  T *jump, *depth, *peak, *mass, *width, *weight, *g_weight, *g_depth, *g_mass, *g_width;
  int32_t* id;

  // Derivatives need more than weights do; less memory means more teams at work.
  static __host__ __device__ size_t bytes(int events, int boxes, bool backward) {
    const size_t event = sizeof(Key) + sizeof(double) + (backward ? sizeof(double) + sizeof(T) : 0);
    const size_t hit = (backward ? 9 : 5) * sizeof(T) + sizeof(int32_t);
    return (events * event + events / (2 * boxes) * hit + 15) / 16 * 16;
  }
  __device__ RayMemory(char* base, int capacity, int boxes, bool backward) : events(capacity), hits(capacity / (2 * boxes)) {
    keys = reinterpret_cast<Key*>(base), base += capacity * sizeof(Key);
    level = reinterpret_cast<double*>(base), base += capacity * sizeof(double);
    inside = reinterpret_cast<double*>(base), base += backward ? capacity * sizeof(double) : 0;
    jump = reinterpret_cast<T*>(base), base += backward ? capacity * sizeof(T) : 0;
    T** const arrays[9] = {&depth, &peak, &mass, &width, &weight, &g_weight, &g_depth, &g_mass, &g_width};
#pragma unroll
    for (int i = 0; i < 9; ++i) *arrays[i] = reinterpret_cast<T*>(base), base += i < 5 || backward ? hits * sizeof(T) : 0;
    id = reinterpret_cast<int32_t*>(base);
  }
};

// A ray that starts beside the tile's first ellipsoid; true distances are `shift` more.
template <class T>
struct LocalRay {
  Vec3<T> origin, direction;
  T shift, near_distance, far_distance;
  int64_t begin, end;  // the tile's list

  __device__ LocalRay(const voge_scene& s, int64_t ray, int64_t tile) {
    begin = s.tile_offsets[tile], end = s.tile_offsets[tile + 1];
    const Vec3<T> start = point_at<T>(s.origins, ray);
    direction = point_at<T>(s.directions, ray);
    const Vec3<T> anchor = begin < end ? point_at<T>(s.means, s.tile_members[begin]) : start;
    shift = dot(anchor - start, direction);
    origin = start + shift * direction;
    near_distance = static_cast<T>(s.near_distance) - shift;
    far_distance = static_cast<T>(s.far_distance) - shift;
  }
};

template <class T>
struct Packed {
  Vec3<T> mean;
  Mat3<T> whitening;
  T density, least;
};
__device__ inline Packed<float> load_packed(const float* rows, int64_t id) {
  const float4* p = reinterpret_cast<const float4*>(rows + kRow * id);
  const float4 a = __ldg(p), b = __ldg(p + 1), c = __ldg(p + 2), d = __ldg(p + 3);
  return {{a.x, a.y, a.z}, {{a.w, b.x, b.y}, {b.z, b.w, c.x}, {c.y, c.z, c.w}}, d.x, d.y};
}
__device__ inline Packed<double> load_packed(const double* rows, int64_t id) {
  const double* p = rows + kRow * id;
  return {{p[0], p[1], p[2]}, {{p[3], p[4], p[5]}, {p[6], p[7], p[8]}, {p[9], p[10], p[11]}}, p[12], p[13]};
}

// Fills the memory with the ray's hits, in the list's order; false if they do not fit. With `stop`, ends the
// list once what lies wholly in front of all later members lets less than that pass.
template <class T, int kSize>
__device__ bool collect(const voge_scene& s, const Team<kSize>& team, const RayMemory<T>& m, const LocalRay<T>& ray,
                        bool may_stop, int& count) {
  const T* rows = static_cast<const T*>(s.packed);
  const T reach = static_cast<T>(box_half_width(s.boxes, s.boxes - 1));
  const double enough = may_stop && s.stop_transmittance > 0 ? -log(s.stop_transmittance) : 1e300;
  count = 0;
  for (int64_t base = ray.begin; base < ray.end; base += kSize) {
    const int64_t i = base + team.lane;
    bool kept = false;
    int32_t id = 0;
    T depth = 0, exponent = 0, precision = 1, density = 0;
    if (i < ray.end) {
      id = s.tile_members[i];
      const Packed<T> e = load_packed(rows, id);
      const Hit<T> hit = intersect(e.mean, e.whitening, ray.origin, ray.direction);
      kept = hit.exponent >= e.least && hit.depth > ray.near_distance && hit.depth < ray.far_distance;
      depth = hit.depth, exponent = hit.exponent, precision = hit.precision, density = e.density;
    }
    int mine;
    const int next = team.place(kept, count, mine);
    if (next > m.hits) return false;
    if (kept) {
      const T peak = exp(exponent);
      m.id[mine] = id, m.depth[mine] = depth, m.peak[mine] = peak, m.mass[mine] = density * peak;
      m.width[mine] = 1 / sqrt(precision);
    }
    count = next;
    if (enough < 1e299 && next > 0 && base + kSize < ray.end) {
      team.sync();
      const T bound = static_cast<const T*>(s.tile_nearest)[base + kSize] - ray.shift;
      T passed = 0;
      for (int k = team.lane; k < count; k += kSize)
        if (m.depth[k] + reach * m.width[k] < bound) passed += m.mass[k];
      if (team.sum(passed) > enough) break;
    }
  }
  team.sync();
  return true;
}

// Orders hits by depth and keeps the nearest `limit` (0: all).
template <class T, int kSize>
__device__ void order_hits(const Team<kSize>& team, const RayMemory<T>& m, int limit, int& count) {
  int size = 32;
  while (size < count) size *= 2;
  for (int k = team.lane; k < size; k += kSize)
    m.keys[k] = k < count ? EventKey<T>::make(m.depth[k], k) : EventKey<T>::make(static_cast<T>(INFINITY), kPadding);
  sort(team, m.keys, size);
  // Through `level`, which nothing uses yet.
  T* const arrays[5] = {m.depth, m.peak, m.mass, m.width, nullptr};
  for (int a = 0; a < 5; ++a) {
    for (int k = team.lane; k < count; k += kSize) {
      const uint32_t from = EventKey<T>::code(m.keys[k]);
      m.level[k] = arrays[a] != nullptr ? static_cast<double>(arrays[a][from]) : static_cast<double>(m.id[from]);
    }
    team.sync();
    for (int k = team.lane; k < count; k += kSize) {
      if (arrays[a] != nullptr) arrays[a][k] = static_cast<T>(m.level[k]);
      else m.id[k] = static_cast<int32_t>(m.level[k]);
    }
    team.sync();
  }
  if (limit > 0 && count > limit) count = limit;
}

template <class T>
__device__ T box_rate(const RayMemory<T>& m, int boxes, int hit, int inner) {
  const T share = static_cast<T>(box_mass(boxes, inner) / (2 * box_half_width(boxes, inner)));
  return share * m.mass[hit] / m.width[hit];
}

// Sorted events of all boxes; returns how many. `blocked` is the optical depth of all boxes between the bounds.
template <class T, int kSize>
__device__ int make_events(const Team<kSize>& team, const RayMemory<T>& m, const LocalRay<T>& ray, int boxes,
                           int count, double& blocked) {
  const int total = 2 * boxes * count;
  double optical = 0;
  for (int k = team.lane; k < count; k += kSize)
    for (int i = 0; i < boxes; ++i) {
      const T half = static_cast<T>(box_half_width(boxes, i)) * m.width[k];
      const T enter = min(max(m.depth[k] - half, ray.near_distance), ray.far_distance);
      const T leave = min(max(m.depth[k] + half, ray.near_distance), ray.far_distance);
      const uint32_t code = 8 * k + 2 * i, slot = 2 * (boxes * k + i);
      m.keys[slot] = EventKey<T>::make(enter, code), m.keys[slot + 1] = EventKey<T>::make(leave, code + 1);
      // In full where no bound cuts it: a narrow box far away has too few digits in its edges.
      const bool cut = enter == ray.near_distance || leave == ray.far_distance;
      optical += cut ? static_cast<double>(box_rate(m, boxes, k, i)) * (leave - enter)
                     : box_mass(boxes, i) * static_cast<double>(m.mass[k]);
    }
  int size = 32;
  while (size < total) size *= 2;
  for (int i = total + team.lane; i < size; i += kSize)
    m.keys[i] = EventKey<T>::make(static_cast<T>(INFINITY), kPadding);
  blocked = team.sum(optical);
  sort(team, m.keys, size);
  return total;
}

template <class T>
__device__ void decode(uint32_t code, int boxes, int& hit, int& inner, bool& leaves, int& slot) {
  hit = code / 8, inner = code / 2 % 4, leaves = code & 1;
  slot = 2 * (boxes * hit + inner) + leaves;
}

constexpr int kEach = 4;  // consecutive events that a member sums by itself before the team sums over members

// What a member knows of its events; those beyond the last change nothing and take no time.
template <class T>
struct Stretch {
  double change[kEach];  // rate, signed: positive where a box begins
  T step[kEach];         // to the next event
  T time[kEach], g[kEach];
  int slot[kEach];       // -1 beyond the last
  bool leaves[kEach];
};

// Events first, first + 1, ... or, from the back, first, first - 1, ...
template <class T>
__device__ Stretch<T> load_stretch(const RayMemory<T>& m, int boxes, int total, int first, int direction) {
  Stretch<T> out;
#pragma unroll
  for (int e = 0; e < kEach; ++e) {
    const int i = first + direction * e;
    out.slot[e] = -1, out.change[e] = 0, out.step[e] = 0, out.time[e] = 0, out.g[e] = 0, out.leaves[e] = false;
    if (i < 0 || i >= total) continue;
    int hit, inner;
    decode<T>(EventKey<T>::code(m.keys[i]), boxes, hit, inner, out.leaves[e], out.slot[e]);
    const double rate = box_rate(m, boxes, hit, inner);
    out.change[e] = out.leaves[e] ? -rate : rate;
    out.time[e] = EventKey<T>::time(m.keys[i]);
    if (i + 1 < total) out.step[e] = EventKey<T>::time(m.keys[i + 1]) - out.time[e];
    if (direction < 0) out.g[e] = m.g_weight[hit];
  }
  return out;
}

// Adds a member's total to those of members before it: `carry` becomes the team's total, the result is
// what lies before this member.
template <class V, int kSize>
__device__ V before(const Team<kSize>& team, V own, V& carry) {
  const V until = carry + team.scan(own);
  carry = team.last(until);
  return until - own;
}

// exact: weights into m.weight; returns T(inf).
template <class T, int kSize>
__device__ double exact_weights(const voge_scene& s, const Team<kSize>& team, const RayMemory<T>& m,
                                const LocalRay<T>& ray, int count) {
  double blocked;
  const int total = make_events(team, m, ray, s.boxes, count, blocked);
  double rate = 0, lit = 0, front = 0;
  for (int base = 0; base < total; base += kSize * kEach) {
    const Stretch<T> events = load_stretch(m, s.boxes, total, base + team.lane * kEach, 1);
    double change = 0;
#pragma unroll
    for (int e = 0; e < kEach; ++e) change += events.change[e];
    double open = before(team, change, rate);
    T depth[kEach];
    double optical = 0;
#pragma unroll
    for (int e = 0; e < kEach; ++e) {
      open += events.change[e];
      depth[e] = static_cast<T>(max(open, 0.0)) * events.step[e], optical += depth[e];
    }
    double passed = before(team, optical, front);
    double gained[kEach], gain = 0;
#pragma unroll
    for (int e = 0; e < kEach; ++e) {
      gained[e] = static_cast<double>(exp(static_cast<T>(-passed)) * interval(depth[e]).phi * events.step[e]);
      passed += depth[e], gain += gained[e];
    }
    double level = before(team, gain, lit);
#pragma unroll
    for (int e = 0; e < kEach; ++e) {
      if (events.slot[e] >= 0) m.level[events.slot[e]] = level;
      level += gained[e];
    }
  }
  team.sync();
  for (int k = team.lane; k < count; k += kSize) {
    double weight = 0;
    for (int i = 0; i < s.boxes; ++i) {
      const int slot = 2 * (s.boxes * k + i);
      weight += box_rate(m, s.boxes, k, i) * (m.level[slot + 1] - m.level[slot]);
    }
    m.weight[k] = static_cast<T>(weight);
  }
  team.sync();
  return exp(-blocked);
}

// exact, backward: one pass from the back. g_weight in; weight, g_depth, g_mass, g_width out.
template <class T, int kSize>
__device__ void exact_backward(const voge_scene& s, const Team<kSize>& team, const RayMemory<T>& m,
                               const LocalRay<T>& ray, int count, double g_transmittance) {
  double blocked;
  const int total = make_events(team, m, ray, s.boxes, count, blocked);
  double rate = 0, pull = 0, behind = 0, light = 0, remaining = exp(-blocked) * g_transmittance, rest = 0;
  for (int base = 0; base < total; base += kSize * kEach) {
    const Stretch<T> events = load_stretch(m, s.boxes, total, total - 1 - (base + team.lane * kEach), -1);
    double closing = 0, pulling = 0;
#pragma unroll
    for (int e = 0; e < kEach; ++e) closing -= events.change[e], pulling -= events.g[e] * events.change[e];
    double open = before(team, closing, rate), wanted = before(team, pulling, pull);
    T depth[kEach];
    double want[kEach], optical = 0;
#pragma unroll
    for (int e = 0; e < kEach; ++e) {  // what is open between an event and the next one behind it
      depth[e] = static_cast<T>(max(open, 0.0)) * events.step[e], want[e] = wanted, optical += depth[e];
      open -= events.change[e], wanted -= events.g[e] * events.change[e];
    }
    double passed = before(team, optical, behind);
    double at[kEach], first[kEach], second[kEach], lights = 0, pulled = 0;
#pragma unroll
    for (int e = 0; e < kEach; ++e) {
      const Interval<T> part = interval(depth[e]);
      passed += depth[e], at[e] = exp(passed - blocked);  // transmittance at this event
      first[e] = at[e] * static_cast<double>(part.phi * events.step[e]);
      second[e] = at[e] * static_cast<double>(psi(depth[e], part) * events.step[e] * events.step[e]);
      lights += first[e], pulled += want[e] * first[e];
    }
    double seen = before(team, lights, light), radiance = before(team, pulled, remaining);
    double resting = 0, start = radiance;
#pragma unroll
    for (int e = 0; e < kEach; ++e) {
      second[e] = start * events.step[e] + want[e] * second[e];  // the integral of R from this event to the next
      start += want[e] * first[e], resting += second[e];
    }
    double integral = before(team, resting, rest);
#pragma unroll
    for (int e = 0; e < kEach; ++e) {
      seen += first[e], radiance += want[e] * first[e], integral += second[e];
      const int slot = events.slot[e];
      if (slot < 0) continue;
      const double g = events.g[e];
      const bool cut = events.time[e] <= ray.near_distance || events.time[e] >= ray.far_distance;
      m.jump[slot] = cut ? T(0) : static_cast<T>(fabs(events.change[e]) * (g * at[e] - radiance));
      m.level[slot] = seen, m.inside[slot] = g * seen - integral;
    }
  }
  team.sync();
  for (int k = team.lane; k < count; k += kSize) {
    T g_depth = 0, g_mass = 0, g_width = 0;
    double weight = 0;
    for (int i = 0; i < s.boxes; ++i) {
      const int enter = 2 * (s.boxes * k + i), leave = enter + 1;
      const T half = static_cast<T>(box_half_width(s.boxes, i));
      const T share = static_cast<T>(box_mass(s.boxes, i) / (2 * half) / m.width[k] * (m.inside[enter] - m.inside[leave]));
      weight += static_cast<double>(box_rate(m, s.boxes, k, i)) * (m.level[enter] - m.level[leave]);
      g_depth += m.jump[leave] - m.jump[enter];
      g_width += half * (m.jump[leave] + m.jump[enter]) - share * m.mass[k] / m.width[k];
      g_mass += share;
    }
    m.weight[k] = static_cast<T>(weight), m.g_depth[k] = g_depth, m.g_mass[k] = g_mass, m.g_width[k] = g_width;
  }
  team.sync();
}

template <class T, int kSize>
__device__ double total_transmittance(const Team<kSize>& team, const RayMemory<T>& m, int count) {
  double sum = 0;
  for (int k = team.lane; k < count; k += kSize) sum += m.mass[k];
  return exp(-team.sum(sum));
}

template <class T>
__device__ T passed_share(T z) { return T(0.5) * erfc(-z * T(0.70710678118654752)); }

template <class T>
__device__ double paper_transmittance_at(const RayMemory<T>& m, int count, int k) {
  double sum = 0;
  for (int j = 0; j < count; ++j) sum += m.mass[j] * passed_share((m.depth[k] - m.depth[j]) / m.width[j]);
  return exp(-sum);
}

template <class T, int kSize>
__device__ void paper_backward(const Team<kSize>& team, const RayMemory<T>& m, int count, double g_transmittance) {
  const double g_all = -g_transmittance * total_transmittance(team, m, count);
  for (int k = team.lane; k < count; k += kSize) {
    const double passed = paper_transmittance_at(m, count, k);
    m.weight[k] = static_cast<T>(m.mass[k] * passed);
    m.g_mass[k] = static_cast<T>(m.g_weight[k] * passed + g_all);
  }
  team.sync();
  // Each hit adds up what it does to others and what others do to it: no two threads write one place.
  for (int k = team.lane; k < count; k += kSize) {
    T g_depth = 0, g_mass = 0, g_width = 0;
    for (int j = 0; j < count; ++j) {
      const T z = (m.depth[k] - m.depth[j]) / m.width[j], back = (m.depth[j] - m.depth[k]) / m.width[k];
      const T mine = -m.g_weight[k] * m.weight[k], other = -m.g_weight[j] * m.weight[j];
      const T density = T(0.3989422804014327);
      const T slope = other * m.mass[k] * density * exp(T(-0.5) * back * back) / m.width[k];
      g_depth += mine * m.mass[j] * density * exp(T(-0.5) * z * z) / m.width[j] - slope;
      g_mass += other * passed_share(back);
      g_width -= slope * back;
    }
    m.g_depth[k] = g_depth, m.g_width[k] = g_width, m.g_mass[k] += g_mass;
  }
  team.sync();
}

// sorted: hits in order of depth. Weights; with g_weight also g_mass.
template <class T, int kSize>
__device__ void sorted_both(const Team<kSize>& team, const RayMemory<T>& m, int count, bool backward,
                            double g_transmittance) {
  double front = 0;
  for (int base = 0; base < count; base += kSize) {
    const int k = base + team.lane;
    const double mass = k < count ? m.mass[k] : T(0);
    const double until = front + team.scan(mass);
    if (k < count) m.weight[k] = static_cast<T>(exp(mass - until) * -expm1(-mass)), m.level[k] = until;
    front = team.last(until);
  }
  team.sync();
  if (!backward) return;
  double behind = g_transmittance * exp(-front);
  for (int base = 0; base < count; base += kSize) {
    const int k = count - 1 - (base + team.lane);
    const double mine = k >= 0 ? static_cast<double>(m.g_weight[k]) * m.weight[k] : 0.0;
    const double here = behind + team.scan(mine);
    if (k >= 0) {
      m.g_mass[k] = static_cast<T>(m.g_weight[k] * exp(-m.level[k]) - (here - mine));
      m.g_depth[k] = m.g_width[k] = 0;
    }
    behind = team.last(here);
  }
  team.sync();
}

// Weights by the scene's aggregation; returns T(inf).
template <class T, int kSize>
__device__ double weigh(const voge_scene& s, const Team<kSize>& team, const RayMemory<T>& m, const LocalRay<T>& ray,
                        int count) {
  if (s.aggregation == VOGE_EXACT) return exact_weights(s, team, m, ray, count);
  if (s.aggregation == VOGE_SORTED) sorted_both(team, m, count, false, 0.0);
  else
    for (int k = team.lane; k < count; k += kSize)
      m.weight[k] = static_cast<T>(m.mass[k] * paper_transmittance_at(m, count, k));
  team.sync();
  return total_transmittance(team, m, count);
}

template <class T, int kSize>
__device__ void weigh_backward(const voge_scene& s, const Team<kSize>& team, const RayMemory<T>& m,
                               const LocalRay<T>& ray, int count, double g_transmittance) {
  if (s.aggregation == VOGE_EXACT) exact_backward(s, team, m, ray, count, g_transmittance);
  else if (s.aggregation == VOGE_PAPER) paper_backward(team, m, count, g_transmittance);
  else sorted_both(team, m, count, true, g_transmittance);
}

}  // namespace voge

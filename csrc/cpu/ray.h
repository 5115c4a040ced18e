// One ray: how the ellipsoids that it meets share its light, forward and backward (section 2).
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <vector>

#include "../abi.h"
#include "../ellipsoid.h"

namespace voge {

// Makes room for n values; never shrinks, so that rays reuse what earlier rays allocated.
template <class... Vectors>
void make_room(int n, Vectors&... vectors) {
  const auto grow = [n](auto& v) {
    if (static_cast<int>(v.size()) < n) v.resize(n + n / 2 + 64);
  };
  (grow(vectors), ...);
}

// The ellipsoids that one ray meets, as arrays of which the first `count` values are in use. Depths are
// measured from the ray's recentered origin.
template <class T>
struct Hits {
  int count = 0;
  std::vector<int32_t> member;  // position in the tile's list
  std::vector<T> depth;         // l
  std::vector<T> peak;          // exp(q)
  std::vector<T> mass;          // x = density * exp(q), the optical depth
  std::vector<T> width;         // s
  std::vector<T> sharpness;     // 1 / s

  void reserve(int n) { make_room(n, member, depth, peak, mass, width, sharpness); }
};

// Orders hits by depth and keeps the nearest `limit` (0: all); returns how many were left out.
template <class T>
int keep_nearest(Hits<T>& hits, int limit, std::vector<int32_t>& order, std::vector<T>& spare) {
  const int n = hits.count, kept = limit > 0 ? std::min(limit, n) : n;
  order.resize(n);
  std::iota(order.begin(), order.end(), 0);
  std::sort(order.begin(), order.end(), [&](int32_t a, int32_t b) {
    return hits.depth[a] < hits.depth[b] || (hits.depth[a] == hits.depth[b] && a < b);
  });
  for (auto* values : {&hits.depth, &hits.peak, &hits.mass, &hits.width, &hits.sharpness}) {
    spare.assign(values->begin(), values->begin() + n);
    for (int i = 0; i < kept; ++i) (*values)[i] = spare[order[i]];
  }
  for (int i = 0; i < kept; ++i) order[i] = hits.member[order[i]];
  std::copy(order.begin(), order.begin() + kept, hits.member.begin());
  hits.count = kept;
  return n - kept;
}

// Ranks of times: rank[i] values come before time[i], equal ones in their order. Comparing all pairs, 16 at
// a time, beats any sort with branches up to a few hundred. Both arrays have room for n rounded up to kLanes.
constexpr int kLanes = 16;

template <class T>
struct Lanes {
  typedef T type __attribute__((vector_size(kLanes * sizeof(T)), aligned(sizeof(T)), may_alias));
};

template <class T>
void rank_times(T* time, int n, int32_t* rank) {
  using Times = typename Lanes<T>::type;
  using Count = decltype(Times{} < Times{});  // -1 where true
  Count lane = {};
  for (int i = 0; i < kLanes; ++i) lane[i] = i;
  const int padded = (n + kLanes - 1) / kLanes * kLanes;
  std::fill(time + n, time + padded, std::numeric_limits<T>::infinity());
  for (int block = 0; block < padded; block += kLanes) {
    const Times mine = *reinterpret_cast<const Times*>(time + block);
    Count even = {}, odd = {};
    for (int j = 0; j < block; j += 2) even -= time[j] <= mine, odd -= time[j + 1] <= mine;
    for (int j = 0; j < kLanes; ++j) even -= (time[block + j] < mine) | ((time[block + j] == mine) & (lane > j));
    for (int j = block + kLanes; j < padded; j += 2) even -= time[j] < mine, odd -= time[j + 1] < mine;
    even += odd;
    for (int i = 0; i < kLanes; ++i) rank[block + i] = static_cast<int32_t>(even[i]);
  }
}

// Where the density along a ray changes: each box of each hit is entered and left, in no order until
// taken. `code` is 2 * box + (1 for leaving), box = hit * kMaxBoxes + i.
constexpr int box_of(int32_t code) { return code >> 1; }
constexpr int hit_of(int32_t code) { return code / (2 * kMaxBoxes); }
constexpr int inner_of(int32_t code) { return (code >> 1) % kMaxBoxes; }
constexpr bool leaves(int32_t code) { return code & 1; }

template <class T>
class Events {
 public:
  int count = 0;
  std::vector<T> time;
  std::vector<int32_t> code;

  // Adds the boxes of hits [first, hits.count) and their densities to `rate`; times are clamped to [low, high].
  void add(const Hits<T>& hits, int first, int boxes, T low, T high, std::vector<T>& rate) {
    const int n = hits.count - first;
    make_room(count + 2 * boxes * n, time, code);
    make_room(hits.count * kMaxBoxes, rate);
    for (int i = 0; i < boxes; ++i) {
      const T share = static_cast<T>(box_mass(boxes, i) / (2 * box_half_width(boxes, i)));
      for (int hit = first; hit < hits.count; ++hit)
        rate[hit * kMaxBoxes + i] = share * hits.mass[hit] * hits.sharpness[hit];
      for (int side = 0; side < 2; ++side) {
        const T reach = static_cast<T>(side == 0 ? -box_half_width(boxes, i) : box_half_width(boxes, i));
        append(n, hits.depth.data() + first, hits.width.data() + first, reach, low, high,
               2 * (first * kMaxBoxes + i) + side);
      }
    }
  }

  // Moves the events before `until` to the end of `taken`, sorted.
  void take(T until, Events& taken) {
    make_room(count + kLanes, early_.time, early_.code);
    int now = 0, later = 0;
    for (int i = 0; i < count; ++i) {  // both copies always, without a branch
      const T t = time[i];
      const int32_t c = code[i], is_now = t < until;
      early_.time[now] = t, early_.code[now] = c, now += is_now;
      time[later] = t, code[later] = c, later += 1 - is_now;
    }
    count = later;
    early_.sort_into(now, taken);
  }

  // Moves all events to the end of `taken`, sorted.
  void take_all(Events& taken) {
    std::swap(time, early_.time), std::swap(code, early_.code);
    make_room(count + kLanes, early_.time);
    early_.sort_into(count, taken);
    count = 0;
  }

 private:
  void append(int n, const T* __restrict depth, const T* __restrict width, T reach, T low, T high, int32_t first_code) {
    T* __restrict t = time.data() + count;
    int32_t* __restrict c = code.data() + count;
    for (int i = 0; i < n; ++i) {
      t[i] = std::min(std::max(depth[i] + reach * width[i], low), high);
      c[i] = first_code + 2 * kMaxBoxes * i;
    }
    count += n;
  }

  struct Unsorted {
    std::vector<T> time;
    std::vector<int32_t> code, rank, order;

    void sort_into(int n, Events& sorted) {
      make_room(n + kLanes, rank);
      make_room(sorted.count + n, sorted.time, sorted.code);
      if (n <= 256) rank_times(time.data(), n, rank.data());
      else rank_by_sorting(n);
      T* const to_time = sorted.time.data() + sorted.count;
      int32_t* const to_code = sorted.code.data() + sorted.count;
      for (int i = 0; i < n; ++i) to_time[rank[i]] = time[i], to_code[rank[i]] = code[i];
      sorted.count += n;
    }
    void rank_by_sorting(int n) {
      order.resize(n);
      std::iota(order.begin(), order.end(), 0);
      std::sort(order.begin(), order.end(),
                [&](int32_t a, int32_t b) { return time[a] < time[b] || (time[a] == time[b] && a < b); });
      for (int i = 0; i < n; ++i) rank[order[i]] = i;
    }
  };
  Unsorted early_;
};

// The sweep of `exact`: the density is constant between events, so transmittance and its integral
// advance in closed form. Sums are double, since rates are added and taken away again.
template <class T>
class Sweep {
 public:
  double transmittance = 1;
  std::vector<T> weight;  // one a hit

  void start(int boxes) {
    boxes_ = boxes, rate_ = 0, integral_ = 0, transmittance = 1, moved_ = false, pending_.count = 0;
  }

  // Takes in hits [first, hits.count); earlier ones are known.
  void add(const Hits<T>& hits, int first, T low, T high) {
    pending_.add(hits, first, boxes_, low, high, box_rate_);
    make_room(hits.count, weight);
    make_room(hits.count * kMaxBoxes, entered_);
    std::fill(weight.begin() + first, weight.begin() + hits.count, T(0));
    std::fill(entered_.begin() + first * kMaxBoxes, entered_.begin() + hits.count * kMaxBoxes, -1.0);
  }

  bool idle() const { return pending_.count == 0; }

  // Advances over all events before `until`.
  void advance(T until) {
    taken_.count = 0;
    pending_.take(until, taken_);
    pass();
  }

  void advance_to_end() {
    taken_.count = 0;
    pending_.take_all(taken_);
    pass();
  }

  // Ends the ray here: boxes still open have what they gathered so far.
  void stop() {
    for (int i = 0; i < pending_.count; ++i) {
      const int32_t code = pending_.code[i];
      if (leaves(code) && entered_[box_of(code)] >= 0) leave(code, integral_);
    }
    pending_.count = 0;
  }

 private:
  void leave(int32_t code, double integral) {
    weight[hit_of(code)] += static_cast<T>(box_rate_[box_of(code)] * (integral - entered_[box_of(code)]));
  }

  // Over the events in `taken_`. Three loops, so that the exponentials run several at a time.
  void pass() {
    const int n = taken_.count;
    if (n == 0) return;
    make_room(n, depth_, passed_);
    T* const time = taken_.time.data();
    const int32_t* const code = taken_.code.data();
    T last = moved_ ? last_ : time[0];
    double rate = rate_;
    for (int i = 0; i < n; ++i) {
      const T step = std::max(time[i] - last, T(0));
      depth_[i] = static_cast<T>(rate) * step;
      time[i] = step, last += step;
      const double change = box_rate_[box_of(code[i])];
      rate = std::max(rate + (leaves(code[i]) ? -change : change), 0.0);
    }
    rate_ = rate, last_ = last, moved_ = true;
    attenuate(n, depth_.data(), time, passed_.data());
    double integral = integral_, through = transmittance;
    for (int i = 0; i < n; ++i) {
      integral += through * time[i];
      through *= passed_[i];
      if (leaves(code[i])) leave(code[i], integral);
      else entered_[box_of(code[i])] = integral;
    }
    integral_ = integral, transmittance = through;
  }

  static void attenuate(int n, const T* __restrict depth, T* __restrict step, T* __restrict passed) {
    for (int i = 0; i < n; ++i) {
      const Interval<T> part = interval(depth[i]);
      passed[i] = part.passed, step[i] *= part.phi;
    }
  }

  int boxes_ = 1;
  bool moved_ = false;
  double rate_ = 0, integral_ = 0;
  T last_ = 0;
  Events<T> pending_, taken_;
  std::vector<double> entered_;  // integral of transmittance on entering each box
  std::vector<T> box_rate_, depth_, passed_;
};

// Gradients of one ray's loss with respect to its hits; weights come along.
template <class T>
struct HitGradients {
  std::vector<T> weight, depth, mass, width;  // W, dL/dl, dL/dx, dL/ds
  void reset(int n) {
    for (auto* values : {&weight, &depth, &mass, &width}) values->assign(n, T(0));
  }
};

// Section 4. Suffix sums from back to front: hidden ellipsoids keep their digits at any optical depth.
template <class T>
class ExactBackward {
 public:
  void start() { events_.count = sorted_.count = 0; }

  // Takes in hits [first, hits.count); no later hit has an event before `until`.
  void add(const Hits<T>& hits, int first, int boxes, T low, T high, T until) {
    events_.add(hits, first, boxes, low, high, rate_);
    if (events_.count > 0) events_.take(until, sorted_);
  }

  void run(const Hits<T>& hits, int boxes, T low, T high, const T* g_weight, double g_transmittance,
           HitGradients<T>& out) {
    if (events_.count > 0) events_.take_all(sorted_);
    forward();
    backward(hits.count, boxes, low, high, g_weight, g_transmittance, out);
    finish(hits, boxes, out);
  }

 private:
  // Per event: transmittance there; per interval after it: integrals of transmittance.
  void forward() {
    const int n = sorted_.count;
    make_room(n, step_, depth_, first_, second_, passed_, at_);
    const T* const time = sorted_.time.data();
    double rate = 0;
    for (int i = 0; i < n; ++i) {
      const int32_t code = sorted_.code[i];
      const double change = rate_[box_of(code)];
      rate = std::max(rate + (leaves(code) ? -change : change), 0.0);
      step_[i] = i + 1 < n ? std::max(time[i + 1] - time[i], T(0)) : T(0);
      depth_[i] = static_cast<T>(rate) * step_[i];
    }
    integrate(n, depth_.data(), step_.data(), passed_.data(), first_.data(), second_.data());
    double transmittance = 1;
    for (int i = 0; i < n; ++i) at_[i] = transmittance, transmittance *= passed_[i];
    end_ = transmittance;
  }

  static void integrate(int n, const T* __restrict depth, const T* __restrict step, T* __restrict passed,
                        T* __restrict first, T* __restrict second) {
    for (int i = 0; i < n; ++i) {
      const Interval<T> part = interval(depth[i]);
      passed[i] = part.passed;
      first[i] = part.phi * step[i];
      second[i] = psi(depth[i], part) * step[i] * step[i];
    }
  }

  // remaining: R, the radiance still to come; its integral and that of T are suffix sums as well.
  void backward(int hits, int boxes, T low, T high, const T* g_weight, double g_transmittance, HitGradients<T>& out) {
    make_room(hits * kMaxBoxes, left_light_, left_rest_, inside_);
    T half_width[kMaxBoxes];
    for (int i = 0; i < boxes; ++i) half_width[i] = static_cast<T>(box_half_width(boxes, i));
    double remaining = end_ * g_transmittance, light = 0, rest = 0, pull = 0;
    for (int i = sorted_.count - 1; i >= 0; --i) {
      const double first = at_[i] * first_[i];
      rest += remaining * step_[i] + pull * (at_[i] * second_[i]);
      remaining += pull * first;
      light += first;
      const int32_t code = sorted_.code[i], box = box_of(code), hit = hit_of(code);
      const double g = g_weight[hit], rate = rate_[box];
      const bool clamped = sorted_.time[i] <= low || sorted_.time[i] >= high;
      const T jump = clamped ? T(0) : static_cast<T>(rate * (g * at_[i] - remaining));
      out.width[hit] += half_width[inner_of(code)] * jump;
      if (leaves(code)) {
        left_light_[box] = light, left_rest_[box] = rest;
        out.depth[hit] += jump;
        pull += g * rate;
      } else {
        const double seen = light - left_light_[box];
        inside_[box] = g * seen - (rest - left_rest_[box]);
        out.weight[hit] += static_cast<T>(rate * seen);
        out.depth[hit] -= jump;
        pull -= g * rate;
      }
    }
  }

  void finish(const Hits<T>& hits, int boxes, HitGradients<T>& out) {
    for (int i = 0; i < boxes; ++i) {
      const double density = box_mass(boxes, i) / (2 * box_half_width(boxes, i));
      for (int hit = 0; hit < hits.count; ++hit) {
        const T share = static_cast<T>(density * hits.sharpness[hit] * inside_[hit * kMaxBoxes + i]);
        out.mass[hit] += share;
        out.width[hit] -= share * hits.mass[hit] * hits.sharpness[hit];
      }
    }
  }

  Events<T> events_, sorted_;
  std::vector<T> rate_, step_, depth_, first_, second_, passed_;
  std::vector<double> at_, left_light_, left_rest_, inside_;
  double end_ = 1;
};

// ---------------------------------------------------------------------------------------------
// paper: W_k = x_k T(l_k), eq. 8; hits sorted by depth

// The normal distribution function.
template <class T>
T passed_share(T z) {
  return T(0.5) * std::erfc(-z * T(0.70710678118654752));
}

template <class T>
double paper_transmittance_at(const Hits<T>& hits, int k) {
  double sum = 0;
  for (int m = 0; m < hits.count; ++m)
    sum += hits.mass[m] * passed_share((hits.depth[k] - hits.depth[m]) / hits.width[m]);
  return std::exp(-sum);
}

template <class T>
double total_transmittance(const Hits<T>& hits) {
  double sum = 0;
  for (int k = 0; k < hits.count; ++k) sum += hits.mass[k];
  return std::exp(-sum);
}

template <class T>
void paper_weights(const Hits<T>& hits, T* weight) {
  for (int k = 0; k < hits.count; ++k) weight[k] = static_cast<T>(hits.mass[k] * paper_transmittance_at(hits, k));
}

template <class T>
void paper_backward(const Hits<T>& hits, const T* g_weight, double g_transmittance, HitGradients<T>& out) {
  const double g_all = -g_transmittance * total_transmittance(hits);
  for (int k = 0; k < hits.count; ++k) {
    const double passed = paper_transmittance_at(hits, k);
    out.weight[k] = static_cast<T>(hits.mass[k] * passed);
    out.mass[k] += static_cast<T>(g_weight[k] * passed + g_all);
    const T g_sum = -g_weight[k] * out.weight[k];  // to the optical depth in front of k
    for (int m = 0; m < hits.count; ++m) {
      const T z = (hits.depth[k] - hits.depth[m]) / hits.width[m];
      const T slope = g_sum * hits.mass[m] * T(0.3989422804014327) * exp_fast(T(-0.5) * z * z) / hits.width[m];
      out.mass[m] += g_sum * passed_share(z);
      out.depth[k] += slope, out.depth[m] -= slope;
      out.width[m] -= slope * z;
    }
  }
}

// ---------------------------------------------------------------------------------------------
// sorted: alpha compositing, front to back; hits sorted by depth

template <class T>
void sorted_weights(const Hits<T>& hits, T* weight) {
  double transmittance = 1;
  for (int k = 0; k < hits.count; ++k) {
    const double passed = std::exp(-static_cast<double>(hits.mass[k]));
    weight[k] = static_cast<T>(transmittance * (1 - passed));
    transmittance *= passed;
  }
}

template <class T>
void sorted_backward(const Hits<T>& hits, const T* g_weight, double g_transmittance, HitGradients<T>& out) {
  sorted_weights(hits, out.weight.data());
  double total = 0, behind = g_transmittance * total_transmittance(hits);
  for (int k = 0; k < hits.count; ++k) total += hits.mass[k];
  for (int k = hits.count - 1; k >= 0; --k) {
    total -= hits.mass[k];  // optical depth in front of k
    const double through = std::exp(-(total + hits.mass[k]));
    out.mass[k] = static_cast<T>(g_weight[k] * through - behind);
    behind += static_cast<double>(g_weight[k]) * out.weight[k];
  }
}

}  // namespace voge

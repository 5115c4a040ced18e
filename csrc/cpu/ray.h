// One ray: how the ellipsoids that it meets share its light, forward and backward (section 2).
#pragma once

#include <algorithm>
#include <cmath>
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
// measured from the ray's recentred origin.
template <class T>
struct Hits {
  int count = 0;
  std::vector<int32_t> member;  // position in the tile's list
  std::vector<T> depth;         // l
  std::vector<T> peak;          // exp(q)
  std::vector<T> mass;          // x = density * exp(q), the optical depth
  std::vector<T> width;         // s

  void reserve(int n) { make_room(n, member, depth, peak, mass, width); }
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
  for (auto* values : {&hits.depth, &hits.peak, &hits.mass, &hits.width}) {
    spare.assign(values->begin(), values->begin() + n);
    for (int i = 0; i < kept; ++i) (*values)[i] = spare[order[i]];
  }
  for (int i = 0; i < kept; ++i) order[i] = hits.member[order[i]];
  std::copy(order.begin(), order.begin() + kept, hits.member.begin());
  hits.count = kept;
  return n - kept;
}

// Ranks of times: rank[i] values come before time[i]. Comparing all pairs runs 16 at a time and beats
// any sort with branches up to a few hundred.
template <class T>
void rank_times(const T* time, int n, int32_t* rank) {
  std::fill(rank, rank + n, 0);
  for (int i = 0; i < n; ++i) {
    const T mine = time[i];
    int32_t later = 0;
    for (int j = i + 1; j < n; ++j) {
      const int32_t before = time[j] < mine;
      later += before;
      rank[j] += 1 - before;
    }
    rank[i] += later;
  }
}

// Where the density along a ray changes: each box of each hit is entered and left, in no order until
// taken. `code` is 2 * box + (1 for leaving), box = hit * boxes + i.
template <class T>
class Events {
 public:
  int count = 0;
  std::vector<T> time;
  std::vector<int32_t> code;

  // Adds the boxes of hits [first, hits.count) and their densities to `rate`; times are clamped to [low, high].
  void add(const Hits<T>& hits, int first, int boxes, T low, T high, std::vector<T>& rate) {
    make_room(count + 2 * boxes * (hits.count - first), time, code);
    make_room(hits.count * boxes, rate);
    for (int i = 0; i < boxes; ++i) {
      const T half_width = static_cast<T>(box_half_width(boxes, i));
      const T share = static_cast<T>(box_mass(boxes, i) / (2 * box_half_width(boxes, i)));
      for (int hit = first; hit < hits.count; ++hit) {
        const T half = half_width * hits.width[hit];
        const int box = hit * boxes + i;
        rate[box] = share * hits.mass[hit] / hits.width[hit];
        time[count] = std::min(std::max(hits.depth[hit] - half, low), high), code[count] = 2 * box;
        time[count + 1] = std::min(std::max(hits.depth[hit] + half, low), high), code[count + 1] = 2 * box + 1;
        count += 2;
      }
    }
  }

  // Moves the events before `until` to `taken`, sorted. Never rebuilds what stays.
  void take(T until, Events& taken) {
    make_room(count, early_.time, early_.code);
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

  // All events, sorted; leaves none.
  void take_all(Events& taken) {
    std::swap(time, early_.time), std::swap(code, early_.code);
    early_.sort_into(count, taken);
    count = 0;
  }

 private:
  struct Unsorted {
    std::vector<T> time;
    std::vector<int32_t> code, rank, order;

    void sort_into(int n, Events& sorted) {
      make_room(n, rank, sorted.time, sorted.code);
      if (n <= 256) rank_times(time.data(), n, rank.data());
      else rank_by_sorting(n);
      for (int i = 0; i < n; ++i) sorted.time[rank[i]] = time[i], sorted.code[rank[i]] = code[i];
      sorted.count = n;
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
    make_room(hits.count * boxes_, entered_);
    std::fill(weight.begin() + first, weight.begin() + hits.count, T(0));
    std::fill(entered_.begin() + first * boxes_, entered_.begin() + hits.count * boxes_, -1.0);
  }

  bool idle() const { return pending_.count == 0; }

  // Advances over all events before `until`.
  void advance(T until) {
    pending_.take(until, taken_);
    pass();
  }

  void advance_to_end() {
    pending_.take_all(taken_);
    pass();
  }

  // Ends the ray here: boxes still open have what they gathered so far.
  void stop() {
    for (int i = 0; i < pending_.count; ++i) {
      const int32_t box = pending_.code[i] >> 1;
      if ((pending_.code[i] & 1) && entered_[box] >= 0) leave(box);
    }
    pending_.count = 0;
  }

 private:
  void leave(int32_t box) { weight[box / boxes_] += static_cast<T>(box_rate_[box] * (integral_ - entered_[box])); }

  void pass() {
    const int n = taken_.count;
    if (n == 0) return;
    make_room(n, depth_, passed_);
    if (!moved_) last_ = taken_.time[0], moved_ = true;
    double rate = rate_;
    T* const time = taken_.time.data();
    for (int i = 0; i < n; ++i) {
      const int32_t code = taken_.code[i];
      const T step = std::max(time[i] - last_, T(0));
      depth_[i] = static_cast<T>(rate) * step;
      time[i] = step, last_ += step;
      const double change = box_rate_[code >> 1];
      rate = std::max(rate + (code & 1 ? -change : change), 0.0);
    }
    rate_ = rate;
    for (int i = 0; i < n; ++i) {
      const Interval<T> step = interval(depth_[i]);
      passed_[i] = step.passed, time[i] *= step.phi;
    }
    for (int i = 0; i < n; ++i) {
      integral_ += transmittance * time[i];
      transmittance *= passed_[i];
      const int32_t box = taken_.code[i] >> 1;
      if (taken_.code[i] & 1) leave(box);
      else entered_[box] = integral_;
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
  void run(const Hits<T>& hits, int boxes, T low, T high, const T* g_weight, double g_transmittance,
           HitGradients<T>& out) {
    sort_events(hits, boxes, low, high);
    forward();
    backward(boxes, low, high, g_weight, g_transmittance, out);
    finish(hits, boxes, out);
  }

 private:
  void sort_events(const Hits<T>& hits, int boxes, T low, T high) {
    all_.count = 0;
    all_.add(hits, 0, boxes, low, high, rate_);
    all_.take_all(sorted_);
  }

  // Per event: transmittance there; per interval after it: integrals of transmittance.
  void forward() {
    const int n = sorted_.count;
    make_room(n, step_, depth_, first_, second_, passed_, at_);
    double rate = 0;
    for (int i = 0; i < n; ++i) {
      const int32_t code = sorted_.code[i];
      rate = std::max(rate + (code & 1 ? -static_cast<double>(rate_[code >> 1]) : rate_[code >> 1]), 0.0);
      step_[i] = i + 1 < n ? std::max(sorted_.time[i + 1] - sorted_.time[i], T(0)) : T(0);
      depth_[i] = static_cast<T>(rate) * step_[i];
    }
    for (int i = 0; i < n; ++i) {
      const Interval<T> step = interval(depth_[i]);
      passed_[i] = step.passed;
      first_[i] = step.phi * step_[i];
      second_[i] = psi(depth_[i], step) * step_[i] * step_[i];
    }
    double transmittance = 1;
    for (int i = 0; i < n; ++i) at_[i] = transmittance, transmittance *= passed_[i];
    end_ = transmittance;
  }

  // remaining: R, the radiance still to come; its integral and that of T are suffix sums as well.
  void backward(int boxes, T low, T high, const T* g_weight, double g_transmittance, HitGradients<T>& out) {
    make_room(static_cast<int>(rate_.size()), left_light_, left_rest_, inside_);
    double remaining = end_ * g_transmittance, light = 0, rest = 0, pull = 0;
    for (int i = sorted_.count - 1; i >= 0; --i) {
      const double first = at_[i] * first_[i];
      rest += remaining * step_[i] + pull * (at_[i] * second_[i]);
      remaining += pull * first;
      light += first;
      const int32_t code = sorted_.code[i], box = code >> 1, hit = box / boxes, inner = box % boxes;
      const double g = g_weight[hit], rate = rate_[box];
      const bool clamped = sorted_.time[i] <= low || sorted_.time[i] >= high;
      const T jump = clamped ? T(0) : static_cast<T>(rate * (g * at_[i] - remaining));
      out.width[hit] += static_cast<T>(box_half_width(boxes, inner)) * jump;
      if (code & 1) {
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
    for (int hit = 0; hit < hits.count; ++hit)
      for (int i = 0; i < boxes; ++i) {
        const double half = box_half_width(boxes, i) * hits.width[hit];
        const double share = box_mass(boxes, i) / (2 * half) * inside_[hit * boxes + i];
        out.mass[hit] += static_cast<T>(share);
        out.width[hit] -= static_cast<T>(share * hits.mass[hit] / hits.width[hit]);
      }
  }

  Events<T> all_, sorted_;
  std::vector<T> rate_, step_, depth_, first_, second_, passed_;
  std::vector<double> at_, left_light_, left_rest_, inside_;
  double end_ = 1;
};

// ---------------------------------------------------------------------------------------------
// paper: W_k = x_k T(l_k), eq. 8; hits sorted by depth

template <class T>
T passed_share(T z) { return T(0.5) * std::erfc(-z * T(0.70710678118654752)); }  // normal distribution function

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

// The hits of one ray that are still at work, and the order of their events (sections 2 and 4).
//
// A thread walks along its ray. A hit has one event where each of its nested boxes begins and one where it
// ends; the k-th events of all hits form a stream. Lists of tiles are nearly in order of distance, so a new hit
// belongs at or near the end of every stream, and the next event is the least of the streams' heads.
#pragma once

#include <type_traits>

#include "../ellipsoid.h"

// Objects whose address reaches a call live in memory; inlined they live in registers.
#define VOGE_DEVICE __device__ __forceinline__
#define VOGE_INLINED __attribute__((always_inline))  // of a lambda

namespace voge {

// A sum that keeps what its additions round away: differences of far-grown sums stay exact to the last digits.
template <class T>
struct Sum {
  T high = 0, low = 0;
  VOGE_DEVICE T value() const { return high + low; }
  VOGE_DEVICE T since(Sum earlier) const { return (high - earlier.high) + (low - earlier.low); }
  VOGE_DEVICE void add(T v) {
    const T sum = plus(high, v), taken = minus(sum, high);
    low += plus(minus(high, minus(sum, taken)), minus(v, taken));
    high = sum;
  }
  // Never contracted with a product.
  static VOGE_DEVICE float plus(float a, float b) { return __fadd_rn(a, b); }
  static VOGE_DEVICE float minus(float a, float b) { return __fsub_rn(a, b); }
  static VOGE_DEVICE double plus(double a, double b) { return __dadd_rn(a, b); }
  static VOGE_DEVICE double minus(double a, double b) { return __dsub_rn(a, b); }
};

// What is kept of a hit, in places numbered from 0; the inner boxes' places follow the last.
enum Field {
  kDepth,   // l along the walk: negative from the back
  kWidth,   // s
  kRate,    // x / s
  kId,
  kLitHigh, kLitLow,    // integral of T where the outer box began
  kForwardFields,
  kG = kForwardFields,  // dL/dW
  kRestHigh, kRestLow,  // integral of R where the outer box began
  kPullDepth, kPullWidth,  // dL/dl and dL/ds so far
  kBackwardFields,
  // Once a hit's events are over:
  kWeight = kLitHigh,
  kToMass = kRestHigh   // dL/dx
};

__host__ __device__ constexpr int field_count(bool backward, int boxes) {
  return backward ? kBackwardFields + 2 * (boxes - 1) : kForwardFields + (boxes - 1);
}

VOGE_DEVICE float as_scalar(int32_t id, float) { return __int_as_float(id); }
VOGE_DEVICE double as_scalar(int32_t id, double) { return id; }
VOGE_DEVICE int32_t as_id(float v) { return __float_as_int(v); }
VOGE_DEVICE int32_t as_id(double v) { return static_cast<int32_t>(v); }

// Half widths and masses over lengths of the nested boxes, the inner first; without boxes (kExact false) the only event
// of a hit is its depth. Streams in the order of a hit's events: begin of the outer box, ..., of the inner, end of the
// inner, ...
template <class T, int kBoxes, bool kExact>
struct Boxes {
  static constexpr bool kOnlyDepth = !kExact;
  static constexpr int kInner = kExact ? kBoxes - 1 : 0;  // inner boxes at most
  static constexpr int kStreams = kExact ? 2 * kBoxes : 1;
  T half[kInner + 1], share[kInner + 1];
  T outer;        // half width of the outer box
  T least, most;  // bounds of the walk: events outside are moved there

  VOGE_DEVICE Boxes(int boxes, T least_, T most_) : least(least_), most(most_) {
#pragma unroll
    for (int i = 0; i <= kInner; ++i) {
      const bool is_box = kExact && i < boxes;
      half[i] = is_box ? static_cast<T>(box_half_width(boxes, i)) : T(0);
      share[i] = is_box ? static_cast<T>(box_mass(boxes, i) / (2 * box_half_width(boxes, i))) : T(0);
    }
    outer = kExact ? static_cast<T>(box_half_width(boxes, boxes - 1)) : T(0);
  }
  VOGE_DEVICE T of_box(const T (&values)[kInner + 1], int box) const {
    T out = values[0];
#pragma unroll
    for (int i = 1; i <= kInner; ++i) out = box == i ? values[i] : out;
    return out;
  }
  VOGE_DEVICE T time(T depth, T width, T offset) const { return min(max(depth + offset * width, least), most); }
};

// The hits at work of 32 rays in shared memory, kSlots for each.
template <class T, int kBoxes, int kSlots, bool kExact>
struct Ring : Boxes<T, kBoxes, kExact> {
  using Base = Boxes<T, kBoxes, kExact>;
  using Base::kInner;
  using Base::kStreams;
  static constexpr int kPlaces = kSlots < 16 ? 16 : 32;  // of a stream
  static constexpr unsigned kPlaceMask = 0x01010101u * (kPlaces - 1);
  static_assert(kSlots < kPlaces && kStreams <= 4,
                "a stream's places differ from one another, and four streams' fit one number");

  T* fields;
  uint8_t* order;          // [place in the stream][lane][stream]: slots
  int lane;
  T head[kStreams];        // time of each stream's next event
  T tail[kStreams];        // time of what was last put at each stream's end
  unsigned firsts = 0;     // place of each stream's next event, a byte each
  int next = 0;            // place after the last
  unsigned free = (1u << kSlots) - 1;
  unsigned finished = 0;   // slots whose events are over

  static constexpr size_t bytes(bool backward) {
    return 32 * (static_cast<size_t>(kSlots) * field_count(backward, kBoxes) * sizeof(T) + kPlaces * 4);
  }

  VOGE_DEVICE Ring(char* memory, int lane_, bool backward, T least, T most)
      : Base(kBoxes, least, most), fields(reinterpret_cast<T*>(memory)),
        order(reinterpret_cast<uint8_t*>(fields + field_count(backward, kBoxes) * kSlots * 32)), lane(lane_) {
#pragma unroll
    for (int j = 0; j < kStreams; ++j) head[j] = INFINITY, tail[j] = INFINITY;
  }

  static constexpr int kCapacity = kSlots;
  VOGE_DEVICE bool full() const { return free == 0; }
  static VOGE_DEVICE int boxes() { return kBoxes; }
  VOGE_DEVICE T& at(int field, int slot) const { return fields[(field * kSlots + slot) * 32 + lane]; }
  VOGE_DEVICE int32_t id(int slot) const { return as_id(at(kId, slot)); }
  VOGE_DEVICE T& inner_lit(bool backward, int box, int slot) const {
    return at((backward ? kBackwardFields : kForwardFields) + box, slot);
  }
  VOGE_DEVICE T& inner_rest(int box, int slot) const { return at(kBackwardFields + kBoxes - 1 + box, slot); }
  static VOGE_DEVICE bool begins(int stream) { return kExact && stream < kBoxes; }
  static VOGE_DEVICE int box_of(int stream) { return begins(stream) ? kBoxes - 1 - stream : stream - kBoxes; }

  // A place for a hit; there must be one. Without streams yet.
  VOGE_DEVICE int add(T depth, T width, T rate, int32_t id) {
    const int slot = __ffs(free) - 1;
    free &= free - 1;
    at(kDepth, slot) = depth, at(kWidth, slot) = width, at(kRate, slot) = rate, at(kId, slot) = as_scalar(id, T());
    return slot;
  }

  // A slot whose events are over, for whoever comes next.
  VOGE_DEVICE int take_finished() {
    const int slot = __ffs(finished) - 1;
    finished &= finished - 1, free |= 1u << slot;
    return slot;
  }

  // Enters the slot's events into all streams.
  VOGE_DEVICE void enlist(int slot, T depth, T width) {
    const int after = following(next);
#pragma unroll
    for (int j = 0; j < kStreams; ++j) {
      const T offset = offset_of(j), t = this->time(depth, width, offset);
      const bool only = head[j] == T(INFINITY);  // before: none
      if (only || t >= tail[j]) {
        tail[j] = t, placed(next, j) = static_cast<uint8_t>(slot);
        if (only) head[j] = t;
      } else {
        insert(slot, j, t, offset);
      }
    }
    next = after;
  }

  // The earliest event before `bound`, or none (-1).
  VOGE_DEVICE int earliest(T bound, T& t) const {
    int stream = 0;
    t = head[0];
#pragma unroll
    for (int j = 1; j < kStreams; ++j) {
      const bool less = head[j] < t;
      t = less ? head[j] : t, stream = less ? j : stream;
    }
    return t < bound ? stream : -1;
  }

  // Takes a stream's next event; returns its slot.
  VOGE_DEVICE int take(int stream) {
    const int place = first_of(stream), after = following(place);
    firsts = (firsts + (1u << 8 * stream)) & kPlaceMask;
    const int slot = placed(place, stream);
    T then = INFINITY;
    if (after != next) then = time_of(placed(after, stream), offset_of(stream));
#pragma unroll
    for (int j = 0; j < kStreams; ++j) head[j] = j == stream ? then : head[j];
    return slot;
  }

 private:
  VOGE_DEVICE T offset_of(int stream) const {
    if constexpr (!kExact) return 0;
    const T out = this->of_box(this->half, box_of(stream));
    return begins(stream) ? -out : out;
  }
  VOGE_DEVICE T time_of(int slot, T offset) const { return this->time(at(kDepth, slot), at(kWidth, slot), offset); }
  VOGE_DEVICE uint8_t& placed(int place, int stream) const { return order[(place * 32 + lane) * 4 + stream]; }
  static VOGE_DEVICE int following(int place) { return (place + 1) % kPlaces; }
  static VOGE_DEVICE int preceding(int place) { return (place + kPlaces - 1) % kPlaces; }
  VOGE_DEVICE int first_of(int stream) const { return __byte_perm(firsts, 0, 0x4440 | stream); }

  // Into a stream that has later events, from its end.
  VOGE_DEVICE void insert(int slot, int stream, T t, T offset) {
    const int begin = first_of(stream);
    int place = next;
    while (place != begin) {
      const int before = preceding(place), other = placed(before, stream);
      if (!(t < time_of(other, offset))) break;
      placed(place, stream) = static_cast<uint8_t>(other);
      place = before;
    }
    placed(place, stream) = static_cast<uint8_t>(slot);
    if (place == begin) head[stream] = t;
  }
};

}  // namespace voge

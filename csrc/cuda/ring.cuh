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
  VOGE_DEVICE T since(T earlier_high, T earlier_low) const { return (high - earlier_high) + (low - earlier_low); }
  VOGE_DEVICE void add(T v) {
    const T sum = plus(high, v), taken = minus(sum, high);
    low += plus(minus(high, minus(sum, taken)), minus(v, taken));
    high = sum;
  }
  // For what is only asked what it gained since: what a greater v loses here, all later values have lost too.
  VOGE_DEVICE void gain(T v) {
    const T sum = plus(high, v);
    low += minus(v, minus(sum, high));
    high = sum;
  }
  // Never contracted with a product.
  static VOGE_DEVICE float plus(float a, float b) { return __fadd_rn(a, b); }
  static VOGE_DEVICE float minus(float a, float b) { return __fsub_rn(a, b); }
  static VOGE_DEVICE double plus(double a, double b) { return __dadd_rn(a, b); }
  static VOGE_DEVICE double minus(double a, double b) { return __dsub_rn(a, b); }
};

// What is kept of a hit, in places numbered from 0.
enum Field {
  kDepth,   // l along the walk: negative from the back
  kWidth,   // s
  kRate,    // x / s
  kId,
  kWeight,  // W, once its events are over
  kForwardFields,
  kG = kForwardFields,     // dL/dW
  kToMass,                 // dL/dx, once its events are over
  kPullDepth,
  kPullWidth,  // dL/dl and dL/ds so far
  kBackwardFields,
};

// What became of a hit whose events are over.
template <class T>
struct Outcome {
  bool done = false;
  int32_t id = 0;
  T depth = 0, width = 0, mass = 0, weight = 0;  // depth along the walk
  T g_depth = 0, g_mass = 0, g_width = 0;
};

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
  T least, most;  // bounds of the walk: what happens outside happens there

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
  VOGE_DEVICE T within(T t) const { return min(max(t, least), most); }
  VOGE_DEVICE T time(T depth, T width, T offset) const { return within(depth + offset * width); }
};

// The hits at work of 32 rays in shared memory, kSlots for each. What one event needs lies together, for one access.
template <int kBoxes, int kSlots, bool kExact, bool kBackward>  // one or two boxes
struct Ring : Boxes<float, kBoxes, kExact> {
  using Base = Boxes<float, kBoxes, kExact>;
  using Base::kInner;
  using Base::kStreams;
  static constexpr int kPlaces = 16;
  static constexpr unsigned kPlaceMask = 0x01010101u * (kPlaces - 1);
  static_assert(kSlots < kPlaces && kStreams <= 4,
                "a stream's places differ from one another, and four streams' fit one number");
  // Floats a hit. From the front: depth, width, rate, id; the integral of T where the outer box began; that of the
  // inner box since then, later its share of the weight, at last the weight. From the back: depth, width, rate, dL/dW;
  // the integrals of T and R where the outer box began; dL/d(rate), weight, dL/dl, dL/ds so far; id.
  static constexpr int kFloats = kBackward ? 13 : 7;
  using Begun = std::conditional_t<kBackward, float4, float2>;

  // [slot][lane] each, from the lane on.
  float4 *hits, *sums_;
  Begun* begun_;
  float* single;
  uint8_t* order;        // [place in the stream][lane][stream]: slots, from the lane on
  float head[kStreams];  // time of each stream's next event
  float tail[kStreams];  // no event of the stream is later
  unsigned firsts;       // place of each stream's next event, a byte each
  unsigned next;         // place after the last
  unsigned free, finished;  // slots: without a hit, whose events are over

  static constexpr size_t bytes() { return 32 * (kSlots * kFloats * sizeof(float) + kPlaces * 4); }

  VOGE_DEVICE Ring(char* memory, int lane, float least, float most) : Base(kBoxes, least, most) {
    constexpr int kStride = 32 * kSlots;
    float* const at = reinterpret_cast<float*>(memory);
    hits = reinterpret_cast<float4*>(at) + lane;
    begun_ = reinterpret_cast<Begun*>(at + 4 * kStride) + lane;
    sums_ = reinterpret_cast<float4*>(at + 8 * kStride) + lane;
    single = at + (kFloats - 1) * kStride + lane;
    order = reinterpret_cast<uint8_t*>(at + kFloats * kStride) + 4 * lane;
    for (int place = 0; place < kPlaces; ++place) placed_all(place) = 0;  // slots ahead of a stream's last are read
    clear();
  }

  VOGE_DEVICE void clear() {
#pragma unroll
    for (int j = 0; j < kStreams; ++j) head[j] = INFINITY, tail[j] = -INFINITY;
    firsts = 0, next = 0, finished = 0, free = (1u << kSlots) - 1;
  }

  VOGE_DEVICE bool full() const { return free == 0; }
  static VOGE_DEVICE bool begins(int stream) { return kExact && stream < kBoxes; }
  static VOGE_DEVICE bool is_outer(int stream) { return stream == 0 || stream == kStreams - 1; }

  VOGE_DEVICE float4& hit(int slot) const { return hits[slot * 32]; }
  VOGE_DEVICE Begun& begun(int slot) const { return begun_[slot * 32]; }
  VOGE_DEVICE float& inside(int slot) const { return single[slot * 32]; }
  VOGE_DEVICE float4& sums(int slot) const { return sums_[slot * 32]; }  // dL/d(rate), weight, dL/dl, dL/ds

  VOGE_DEVICE float& at(int field, int slot) const {
    float* const hit = &this->hit(slot).x;
    if (field <= kRate) return hit[field];
    if constexpr (!kBackward) return field == kId ? hit[3] : inside(slot);
    if (field == kId) return single[slot * 32];
    if (field == kG) return hit[3];
    return (&sums(slot).x)[field == kToMass ? 0 : field == kWeight ? 1 : field == kPullDepth ? 2 : 3];
  }
  VOGE_DEVICE int32_t id(int slot) const { return as_id(at(kId, slot)); }

  // A place for a hit; there must be one. Enters its events into all streams.
  VOGE_DEVICE void add(float depth, float width, float rate, int32_t id, float g) {
    const int slot = __ffs(free) - 1;
    free &= free - 1;
    const float name = as_scalar(id, 0.0f);
    hit(slot) = make_float4(depth, width, rate, kBackward ? g : name);
    if constexpr (kBackward) at(kId, slot) = name;
    enlist(slot, depth, width);
  }

  // A slot whose events are over, for whoever comes next.
  VOGE_DEVICE int take_finished() {
    const int slot = __ffs(finished) - 1;
    finished &= finished - 1, free |= 1u << slot;
    return slot;
  }

  // The stream of the earliest event, and its time: infinite if there is none.
  VOGE_DEVICE int earliest(float& t) const {
    int stream = 0;
    t = head[0];
#pragma unroll
    for (int j = 1; j < kStreams; ++j) {
      const bool less = head[j] < t;
      t = less ? head[j] : t, stream = less ? j : stream;
    }
    return stream;
  }

  VOGE_DEVICE Outcome<float> outcome(int slot) const {
    const float4 hit = this->hit(slot);
    Outcome<float> out;
    out.done = true, out.id = id(slot), out.depth = hit.x, out.width = hit.y, out.mass = hit.z * hit.y;
    out.weight = at(kWeight, slot);
    if constexpr (kBackward) {
      const float4 sums = this->sums(slot);
      out.g_mass = kExact ? sums.x * reciprocal(hit.y) : sums.x;
      out.g_depth = sums.z, out.g_width = kExact ? sums.w - out.g_mass * hit.z : sums.w;
    }
    return out;
  }

  // Takes a stream's next event; returns its slot.
  VOGE_DEVICE int take(int stream) {
    const unsigned place = first_of(stream), after = following(place);
    firsts = (firsts + (1u << 8 * stream)) & kPlaceMask;
    const int slot = placed(place, stream);
    const float then = time_of(placed(after, stream), offset_of(stream));
#pragma unroll
    for (int j = 0; j < kStreams; ++j) head[j] = j != stream ? head[j] : (after != next ? then : INFINITY);
    return slot;
  }

 private:
  VOGE_DEVICE float offset_of(int stream) const {
    if constexpr (!kExact) return 0;
    const float out = this->of_box(this->half, is_outer(stream) ? kInner : 0);
    return begins(stream) ? -out : out;
  }
  VOGE_DEVICE float time_of(int slot, float offset) const {
    const float2 at = *reinterpret_cast<const float2*>(&hit(slot));
    return at.x + offset * at.y;
  }
  VOGE_DEVICE uint8_t& placed(unsigned place, int stream) const { return order[place * 128 + stream]; }
  VOGE_DEVICE unsigned& placed_all(unsigned place) const { return *reinterpret_cast<unsigned*>(order + place * 128); }
  static VOGE_DEVICE unsigned following(unsigned place) { return (place + 1) % kPlaces; }
  static VOGE_DEVICE unsigned preceding(unsigned place) { return (place - 1) % kPlaces; }
  VOGE_DEVICE unsigned first_of(int stream) const { return firsts >> 8 * stream & 0xff; }

  VOGE_DEVICE void enlist(int slot, float depth, float width) {
    float t[kStreams];
    bool last = true;
#pragma unroll
    for (int j = 0; j < kStreams; ++j) t[j] = depth + offset_of(j) * width, last = last && t[j] >= tail[j];
    placed_all(next) = slot * 0x01010101u;
    if (last) {
#pragma unroll
      for (int j = 0; j < kStreams; ++j) tail[j] = t[j], head[j] = min(head[j], t[j]);
    } else {
      insert(slot, t);
    }
    next = following(next);
  }

  // Into streams that may have later events, from their ends; side by side, since each step waits for memory.
  VOGE_DEVICE void insert(int slot, const float (&t)[kStreams]) {
    unsigned place[kStreams];
    bool moves[kStreams], any = false;
#pragma unroll
    for (int j = 0; j < kStreams; ++j) place[j] = next, moves[j] = true;
    do {
      any = false;
#pragma unroll
      for (int j = 0; j < kStreams; ++j) {
        const unsigned before = preceding(place[j]), other = placed(before, j);
        moves[j] = moves[j] && place[j] != first_of(j) && t[j] < time_of(other, offset_of(j));
        if (moves[j]) placed(place[j], j) = static_cast<uint8_t>(other), place[j] = before;
        any = any || moves[j];
      }
    } while (any);
#pragma unroll
    for (int j = 0; j < kStreams; ++j) {
      placed(place[j], j) = static_cast<uint8_t>(slot);
      if (place[j] == first_of(j)) head[j] = t[j];
      if (place[j] == next) tail[j] = t[j];
    }
  }
};

}  // namespace voge

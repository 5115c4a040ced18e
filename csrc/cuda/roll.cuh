// All hits of one ray and all their events in order, for a warp.
#pragma once

#include "order.cuh"
#include "ring.cuh"

namespace voge {

// Events in order of time, then of what they are: one unsigned number for float, a pair for double.
struct DoubleKey {
  double t;
  uint32_t code;
  VOGE_DEVICE bool operator<(const DoubleKey& o) const { return t < o.t || (t == o.t && code < o.code); }
};
template <class T>
struct EventKey;
template <>
struct EventKey<float> {
  using type = unsigned long long;
  static VOGE_DEVICE type make(float t, uint32_t code) { return (static_cast<type>(ordered(t)) << 32) | code; }
  static VOGE_DEVICE float time(type key) { return unordered(static_cast<uint32_t>(key >> 32)); }
  static VOGE_DEVICE uint32_t code(type key) { return static_cast<uint32_t>(key); }
};
template <>
struct EventKey<double> {
  using type = DoubleKey;
  static VOGE_DEVICE type make(double t, uint32_t code) { return {t, code}; }
  static VOGE_DEVICE double time(type key) { return key.t; }
  static VOGE_DEVICE uint32_t code(type key) { return key.code; }
};

// Sorts `size` (a power of two) different keys, ascending, by Batcher's bitonic network.
template <class Key>
__device__ void warp_sort(Key* keys, int size, int lane) {
  for (int run = 2; run <= size; run *= 2)
    for (int step = run / 2; step > 0; step /= 2) {
      __syncwarp();
      for (int i = lane; i < size / 2; i += 32) {
        const int low = 2 * i - (i & (step - 1)), high = low + step;
        const Key a = keys[low], b = keys[high];
        if ((b < a) == ((low & run) == 0)) keys[low] = b, keys[high] = a;
      }
    }
  __syncwarp();
}

__host__ __device__ constexpr int power_of_two(int64_t count) {
  int64_t size = 32;
  while (size < count) size *= 2;
  return static_cast<int>(size);
}

// Room for `capacity` hits with up to kMaxBoxes boxes, in shared or global memory.
template <class T, bool kExact>
struct Roll : Boxes<T, kMaxBoxes, kExact> {
  using Base = Boxes<T, kMaxBoxes, kExact>;
  using Key = typename EventKey<T>::type;
  static constexpr int kSteps = 8;  // codes a hit: its streams

  Key* keys;
  double *lits, *insides;  // an event's integral of T, and what the gradient to x needs
  T *jumps, *fields;       // an event's share of the gradients to l and s; the hits
  int capacity, given_boxes, lane;
  int count = 0, total = 0, next = 0;  // hits, events, the next event

  // Of that, `streams` events a hit.
  static __host__ __device__ size_t bytes(int capacity, bool backward, int streams) {
    const size_t events = streams * static_cast<size_t>(capacity);
    const size_t each = sizeof(double) + (backward ? sizeof(double) + sizeof(T) : 0);
    const size_t hit = (backward ? kBackwardFields : kForwardFields) * sizeof(T);
    return (power_of_two(events) * sizeof(Key) + events * each + capacity * hit + 255) / 256 * 256;
  }

  VOGE_DEVICE Roll(char* memory, int capacity_, int boxes_, int lane_, bool backward, T least, T most)
      : Base(boxes_, least, most),
        keys(reinterpret_cast<Key*>(memory)),
        capacity(capacity_),
        given_boxes(kExact ? boxes_ : 1),
        lane(lane_) {
    const size_t events = (kExact ? 2 * boxes_ : 1) * static_cast<size_t>(capacity);
    lits = reinterpret_cast<double*>(keys + power_of_two(events)), insides = lits + events;
    jumps = reinterpret_cast<T*>(backward ? insides + events : insides);
    fields = backward ? jumps + events : jumps;
  }

  VOGE_DEVICE int boxes() const { return given_boxes; }
  VOGE_DEVICE T& at(int field, int slot) const { return fields[static_cast<size_t>(field) * capacity + slot]; }
  VOGE_DEVICE int32_t id(int slot) const { return as_id(at(kId, slot)); }
  VOGE_DEVICE bool begins(int stream) const { return kExact && stream < given_boxes; }
  VOGE_DEVICE int box_of(int stream) const { return begins(stream) ? given_boxes - 1 - stream : stream - given_boxes; }

  VOGE_DEVICE int begin_of(int box) const { return given_boxes - 1 - box; }
  VOGE_DEVICE int end_of(int box) const { return given_boxes + box; }
  VOGE_DEVICE double& lit(int hit, int stream) const { return lits[2 * given_boxes * hit + stream]; }
  VOGE_DEVICE double& inside(int hit, int stream) const { return insides[2 * given_boxes * hit + stream]; }
  VOGE_DEVICE T& jump(int hit, int stream) const { return jumps[2 * given_boxes * hit + stream]; }
  template <bool kBackward>
  VOGE_DEVICE Outcome<T> outcome(int slot) const {
    Outcome<T> out;
    out.done = true, out.id = id(slot), out.weight = at(kWeight, slot);
    out.depth = at(kDepth, slot), out.width = at(kWidth, slot), out.mass = at(kRate, slot) * out.width;
    if constexpr (kBackward)
      out.g_mass = at(kToMass, slot), out.g_depth = at(kPullDepth, slot), out.g_width = at(kPullWidth, slot);
    return out;
  }
  VOGE_DEVICE T time_at(int event) const { return EventKey<T>::time(keys[event]); }
  VOGE_DEVICE int hit_at(int event) const { return EventKey<T>::code(keys[event]) / kSteps; }
  VOGE_DEVICE int stream_at(int event) const { return EventKey<T>::code(keys[event]) % kSteps; }

  // Takes in the lanes' hits; false if they do not fit.
  VOGE_DEVICE bool add(bool mine, T depth, T width, T rate, int32_t id) {
    const unsigned votes = __ballot_sync(0xffffffffu, mine);
    const int slot = count + __popc(votes & ((1u << lane) - 1));
    if (count + __popc(votes) > capacity) return false;
    if (mine)
      at(kDepth, slot) = depth, at(kWidth, slot) = width, at(kRate, slot) = rate, at(kId, slot) = as_scalar(id, T());
    count += __popc(votes);
    return true;
  }

  // Keys by depth; then the slot that is the k-th by depth.
  VOGE_DEVICE void order_depths() {
    __syncwarp();
    const int size = power_of_two(count);
    for (int k = lane; k < size; k += 32)
      keys[k] =
          k < count ? EventKey<T>::make(at(kDepth, k), k) : EventKey<T>::make(static_cast<T>(INFINITY), 0xffffffffu);
    warp_sort(keys, size, lane);
  }
  VOGE_DEVICE int slot_in_order(int k) const { return static_cast<int>(EventKey<T>::code(keys[k])); }

  // Keeps the nearest `limit` hits.
  VOGE_DEVICE void keep_nearest(int limit) {
    if (count <= limit) return;
    order_depths();
    const Key last = keys[limit - 1];
    const int before = count;
    count = 0;
    for (int base = 0; base < before; base += 32) {
      const int k = base + lane;
      T hit[4];
      bool kept = k < before;
      if (kept) {
        for (int f = 0; f < 4; ++f) hit[f] = at(f, k);
        kept = !(last < EventKey<T>::make(hit[kDepth], k));
      }
      __syncwarp();
      add(kept, hit[kDepth], hit[kWidth], hit[kRate], as_id(hit[kId]));
    }
    __syncwarp();
  }

  // Puts all events in order.
  VOGE_DEVICE void order() {
    __syncwarp();
    const int streams = kExact ? 2 * given_boxes : 1;
    total = streams * count;
    for (int k = lane; k < count; k += 32)
#pragma unroll
      for (int j = 0; j < Base::kStreams; ++j)
        if (j < streams) {
          const T half = kExact ? this->of_box(this->half, box_of(j)) : T(0);
          const T t = this->time(at(kDepth, k), at(kWidth, k), begins(j) ? -half : half);
          keys[streams * k + j] = EventKey<T>::make(t, kSteps * k + j);
        }
    const int size = power_of_two(total);
    for (int i = total + lane; i < size; i += 32) keys[i] = EventKey<T>::make(static_cast<T>(INFINITY), 0xffffffffu);
    warp_sort(keys, size, lane);
  }

  // For one lane alone: the next event's hit.
  VOGE_DEVICE int take(int) { return hit_at(next++); }
};

}  // namespace voge

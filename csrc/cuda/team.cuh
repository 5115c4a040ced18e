// A team of threads that works on one ray: a warp, or a block for rays with many hits. The same code runs
// for both; shared memory holds what the team knows of its ray.
#pragma once

#include <cstdint>

#include "../ellipsoid.h"

namespace voge {

template <int kSize>
struct Team {
  static_assert(kSize == 32 || kSize % 32 == 0, "whole warps");
  int lane;            // place in the team
  double* warp_sums;   // shared, one a warp (unused for a single warp)

  __device__ void sync() const {
    if constexpr (kSize == 32) __syncwarp();
    else __syncthreads();
  }

  // Sum over all members before and including this one.
  template <class V>
  __device__ V scan(V value) const {
#pragma unroll
    for (int step = 1; step < 32; step *= 2) {
      const V other = __shfl_up_sync(0xffffffffu, value, step);
      if ((lane & 31) >= step) value += other;
    }
    if constexpr (kSize > 32) {
      __syncthreads();
      if ((lane & 31) == 31) warp_sums[lane / 32] = static_cast<double>(value);
      __syncthreads();
      for (int warp = 0; warp < lane / 32; ++warp) value += static_cast<V>(warp_sums[warp]);
    }
    return value;
  }

  // The value of the team's last member, for everyone.
  template <class V>
  __device__ V last(V value) const {
    if constexpr (kSize == 32) return __shfl_sync(0xffffffffu, value, 31);
    __syncthreads();
    if (lane == kSize - 1) warp_sums[0] = static_cast<double>(value);
    __syncthreads();
    return static_cast<V>(warp_sums[0]);
  }

  template <class V>
  __device__ V sum(V value) const {
    if constexpr (kSize == 32) {
#pragma unroll
      for (int step = 16; step > 0; step /= 2) value += __shfl_xor_sync(0xffffffffu, value, step);
      return value;
    }
    return last(scan(value));
  }

  // Places for those members whose flag is set, in order, after `start`; returns the new end.
  __device__ int place(bool flag, int start, int& mine) const {
    if constexpr (kSize == 32) {
      const unsigned votes = __ballot_sync(0xffffffffu, flag);
      mine = start + __popc(votes & ((1u << lane) - 1));
      return start + __popc(votes);
    }
    const int upto = static_cast<int>(scan(static_cast<double>(flag)));
    mine = start + upto - flag;
    return start + static_cast<int>(last(static_cast<double>(upto)));
  }
};

// Floats in the order of unsigned integers.
__device__ inline uint32_t ordered(float t) {
  const uint32_t bits = __float_as_uint(t);
  return bits ^ ((bits >> 31) ? 0xffffffffu : 0x80000000u);
}
__device__ inline float unordered(uint32_t bits) {
  return __uint_as_float(bits ^ ((bits >> 31) ? 0x80000000u : 0xffffffffu));
}

template <class Key>
__device__ Key shuffle_xor(Key key, int lanes) { return __shfl_xor_sync(0xffffffffu, key, lanes); }

// Batcher's bitonic network in a warp's registers: lane l holds keys l * kEach to l * kEach + kEach - 1, so
// that only steps of kEach and more go from lane to lane.
template <int kEach, class Key>
__device__ void sort_in_registers(int lane, Key* keys) {
  Key mine[kEach];
#pragma unroll
  for (int e = 0; e < kEach; ++e) mine[e] = keys[lane * kEach + e];
#pragma unroll
  for (int run = 2; run <= 32 * kEach; run *= 2) {
#pragma unroll
    for (int step = run / 2; step > 0; step /= 2) {
#pragma unroll
      for (int e = 0; e < kEach; ++e) {
        const int place = lane * kEach + e;
        const bool ascending = (place & run) == 0;
        if (step >= kEach) {
          const Key other = shuffle_xor(mine[e], step / kEach);
          const bool wants_less = ascending == ((place & step) == 0);
          if ((other < mine[e]) == wants_less) mine[e] = other;
        } else if ((e & step) == 0) {
          const Key a = mine[e], b = mine[e + step];
          if ((b < a) == ascending) mine[e] = b, mine[e + step] = a;
        }
      }
    }
  }
#pragma unroll
  for (int e = 0; e < kEach; ++e) keys[lane * kEach + e] = mine[e];
}

// Sorts `size` (a power of two, 32 at least) different keys in shared or global memory, ascending.
template <int kSize, class Key>
__device__ void sort(const Team<kSize>& team, Key* keys, int size) {
  team.sync();
  if (kSize == 32 && size <= 256) {
    if (size == 32) sort_in_registers<1>(team.lane, keys);
    else if (size == 64) sort_in_registers<2>(team.lane, keys);
    else if (size == 128) sort_in_registers<4>(team.lane, keys);
    else sort_in_registers<8>(team.lane, keys);
    team.sync();
    return;
  }
  for (int run = 2; run <= size; run *= 2)
    for (int step = run / 2; step > 0; step /= 2) {
      for (int i = team.lane; i < size / 2; i += kSize) {
        const int low = 2 * i - (i & (step - 1)), high = low + step;
        const Key a = keys[low], b = keys[high];
        if ((b < a) == ((low & run) == 0)) keys[low] = b, keys[high] = a;
      }
      team.sync();
    }
}

}  // namespace voge

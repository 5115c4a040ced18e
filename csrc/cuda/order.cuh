// Floats as unsigned integers of the same order, to sort by or to take the least of.
#pragma once

#include <cstdint>

namespace voge {

__device__ inline uint32_t ordered(float t) {
  const uint32_t bits = __float_as_uint(t);
  return bits ^ ((bits >> 31) ? 0xffffffffu : 0x80000000u);
}
__device__ inline float unordered(uint32_t bits) {
  return __uint_as_float(bits ^ ((bits >> 31) ? 0x80000000u : 0xffffffffu));
}

}  // namespace voge

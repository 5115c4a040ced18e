// Sums of gradients over rays: what each ellipsoid gathers, in any order, or bitwise repeatably.
#pragma once

#include "dispatch.cuh"

namespace voge {

constexpr int kSums = 16;  // scalars an ellipsoid gathers: PairGradient, density, features as far as there is room

VOGE_DEVICE void add4(float* to, float a, float b, float c, float d) {
#if __CUDA_ARCH__ >= 900
  asm volatile("red.global.v4.f32.add [%0], {%1, %2, %3, %4};" ::"l"(to), "f"(a), "f"(b), "f"(c), "f"(d) : "memory");
#else
  atomicAdd(to, a), atomicAdd(to + 1, b), atomicAdd(to + 2, c), atomicAdd(to + 3, d);
#endif
}
VOGE_DEVICE void add4(double* to, double a, double b, double c, double d) {
  atomicAdd(to, a), atomicAdd(to + 1, b), atomicAdd(to + 2, c), atomicAdd(to + 3, d);
}

// Additions to an array that many threads share. Plain ones depend on their order in the last digits. Repeatable ones
// take two rounds: the largest magnitude that each sum will see, then all of them as multiples of a small part of it,
// whose integer sums do not depend on the order. 2^27 additions fit, with 36 bits below the largest.
enum Round { kPlain, kMeasure, kAccumulate };

template <class T>
struct Gathered {
  T* plain;
  unsigned long long *largest, *multiples;  // bits of a double; a signed integer
  Round round;

  static VOGE_DEVICE double part(unsigned long long largest) {
    const double most = __longlong_as_double(largest);
    return most > 0 ? scalbn(1.0, ilogb(most) + 1 - 36) : 1.0;
  }
  VOGE_DEVICE void add(int64_t i, T value) const {
    if (round == kPlain) atomicAdd(plain + i, value);
    else if (round == kMeasure) atomicMax(largest + i, __double_as_longlong(fabs(static_cast<double>(value))));
    else if (value != T(0))
      atomicAdd(multiples + i,
                static_cast<unsigned long long>(__double2ll_rn(static_cast<double>(value) / part(largest[i]))));
  }
  // Consecutive sums, fours of them.
  template <int kCount>
  VOGE_DEVICE void add(int64_t i, const T (&values)[kCount]) const {
    static_assert(kCount % 4 == 0, "fours");
    if (round == kPlain) {
#pragma unroll
      for (int k = 0; k < kCount; k += 4) add4(plain + i + k, values[k], values[k + 1], values[k + 2], values[k + 3]);
    } else {
#pragma unroll
      for (int k = 0; k < kCount; ++k) add(i + k, values[k]);
    }
  }
  VOGE_DEVICE T sum(int64_t i) const {
    if (round == kPlain) return plain[i];
    const double most = __longlong_as_double(largest[i]);
    if (!(most < INFINITY)) return static_cast<T>(NAN);
    return static_cast<T>(static_cast<double>(static_cast<long long>(multiples[i])) * part(largest[i]));
  }
};

// What a backward job does with a hit, whatever its gradient comes from.
template <class T>
struct ToGeometry {
  Gathered<T> sums;
  T *g_origins, *g_directions;  // or null
};

template <class T>
struct RayGradient {
  Vec3<T> origin{0, 0, 0}, direction{0, 0, 0};

  // From a hit to its ellipsoid and the ray; `extra` go to the sums after the density.
  VOGE_DEVICE void spread(const ToGeometry<T>& to, const LocalRay<T>& ray, const Outcome<T>& hit, const Packed<T>& e,
                          T g_depth, const T (&extra)[kFewChannels]) {
    const Hit<T> at = intersect(e.mean, e.whitening, ray.origin, ray.direction);
    const T g_exponent = hit.g_mass * hit.mass;
    const PairGradient<T> g = pair_gradient(at, hit.width, g_depth, g_exponent, hit.g_width);
    const T sums[kSums] = {
        g.mean.x, g.mean.y, g.mean.z, g.xx,     g.yy, g.zz, g.yz, g.xz, g.xy, hit.g_mass * exp_fast(at.exponent),
        extra[0], extra[1], extra[2], extra[3], T(0), T(0)};
    to.sums.add(static_cast<int64_t>(kSums) * hit.id, sums);
    if (to.g_origins != nullptr)
      ray_gradient(at, e.whitening, at.depth + ray.shift, hit.width, g_depth, g_exponent, hit.g_width, origin,
                   direction);
  }

  VOGE_DEVICE void gather(const ToGeometry<T>& to) {
    if (to.g_origins == nullptr) return;
    origin = {warp_sum(origin.x), warp_sum(origin.y), warp_sum(origin.z)};
    direction = {warp_sum(direction.x), warp_sum(direction.y), warp_sum(direction.z)};
  }

  VOGE_DEVICE void write(const ToGeometry<T>& to, int64_t index) const {
    if (to.g_origins == nullptr) return;
    T *o = to.g_origins + 3 * index, *d = to.g_directions + 3 * index;
    o[0] = origin.x, o[1] = origin.y, o[2] = origin.z;
    d[0] = direction.x, d[1] = direction.y, d[2] = direction.z;
  }
};

// Sums to gradients; features too where they were gathered with the rest.
template <class T>
__global__ void finish_kernel(voge_scene s, Gathered<T> sums, T* g_means, T* g_scales, T* g_quats, T* g_density,
                              T* g_features) {
  const int64_t n = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (n >= s.count) return;
  T t[kSums];
  for (int i = 0; i < kSums; ++i) t[i] = sums.sum(kSums * n + i);
  const PairGradient<T> sum{{t[0], t[1], t[2]}, t[3], t[4], t[5], t[6], t[7], t[8]};
  finish_gradient(static_cast<const T*>(s.scales) + 3 * n, static_cast<const T*>(s.quats) + 4 * n, sum, g_means + 3 * n,
                  g_scales + 3 * n, g_quats + 4 * n);
  g_density[n] = t[9];
  if (g_features == nullptr) return;
  for (int c = 0; c < kFewChannels; ++c)
    if (c < s.channels) g_features[n * s.channels + c] = t[10 + c];
}

template <class T>
__global__ void sum_kernel(int64_t count, Gathered<T> sums, T* out) {
  const int64_t i = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (i < count) out[i] = sums.sum(i);
}

// Gradients to the ellipsoids' parameters from `walk(geometry, features)`, which adds up what rays contribute. Features
// of more than a few channels, `feature_size` scalars, are added up by themselves.
template <class T, class Walks>
cudaError_t gather_gradients(const voge_scene& s, const voge_cuda_sums& memory, const Walks& walk, T* g_means,
                             T* g_scales, T* g_quats, T* g_density, T* g_features, int64_t feature_size) {
  if (s.count == 0) return cudaSuccess;
  const cudaStream_t stream = stream_of(s);
  const int64_t size = kSums * s.count;
  using Bits = unsigned long long;
  Bits *const largest = static_cast<Bits*>(memory.largest), *const multiples = static_cast<Bits*>(memory.multiples);
  Gathered<T> geometry{static_cast<T*>(memory.plain), largest, multiples, kPlain},
      features{g_features, largest + size, multiples + size, kPlain};
  cudaError_t error;
  if (largest == nullptr) {
    cudaMemsetAsync(geometry.plain, 0, size * sizeof(T), stream);
    if (feature_size > 0) cudaMemsetAsync(g_features, 0, feature_size * sizeof(T), stream);
    error = walk(geometry, features);
  } else {
    cudaMemsetAsync(largest, 0, (size + feature_size) * sizeof(Bits), stream);
    cudaMemsetAsync(multiples, 0, (size + feature_size) * sizeof(Bits), stream);
    geometry.round = features.round = kMeasure;
    error = walk(geometry, features);
    if (error != cudaSuccess) return error;
    geometry.round = features.round = kAccumulate;
    error = walk(geometry, features);
    if (feature_size > 0)
      sum_kernel<T><<<blocks_for(feature_size, 256), 256, 0, stream>>>(feature_size, features, g_features);
  }
  if (error != cudaSuccess) return error;
  finish_kernel<T><<<blocks_for(s.count, 256), 256, 0, stream>>>(s, geometry, g_means, g_scales, g_quats, g_density,
                                                                 feature_size > 0 ? nullptr : g_features);
  return cudaSuccess;
}

}  // namespace voge

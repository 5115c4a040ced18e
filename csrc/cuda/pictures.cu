// Pictures on the GPU without any table of hits, and their gradients.

#include "gradient.cuh"

namespace voge {
namespace {

// Lanes of a warp that have something to do, one after the other: visit(lane).
template <class Visit>
VOGE_DEVICE void each_lane(bool mine, Visit visit) {
  for (unsigned votes = __ballot_sync(kWholeWarp, mine); votes != 0; votes &= votes - 1) visit(__ffs(votes) - 1);
}

template <class T>
struct Pictures {
  T *image, *transmittance, *depth;
};

template <class T>
struct PictureJob {
  using Arguments = Pictures<T>;
  static constexpr bool kBackward = false, kRows = false;
  const Pictures<T>& to;
  const int64_t index;
  const T enough;  // optical depth in front of all that is to come at which a ray ends
  T pixel[kFewChannels] = {0}, distance = 0;
  T* const spare;  // of shared memory: more channels than a few, if they fit

  // Scalars of spare memory for a warp.
  static __host__ __device__ int64_t spare_size(const voge_scene& s) {
    return s.channels > kFewChannels && s.channels <= 64 ? 32 * (s.channels | 1) : 0;
  }

  VOGE_DEVICE PictureJob(const voge_scene& s, const Pictures<T>& to_, int64_t index_, bool valid, T* spare_)
      : to(to_),
        index(index_),
        enough(s.stop_transmittance > 0 ? static_cast<T>(-log(s.stop_transmittance)) : static_cast<T>(INFINITY)),
        spare(spare_size(s) > 0 ? spare_ : nullptr) {
    if (s.channels <= kFewChannels || !(valid || spare != nullptr)) return;
    for (int64_t c = 0; c < s.channels; ++c) row(s, index, threadIdx.x % 32)[c] = 0;
  }
  VOGE_DEVICE T* row(const voge_scene& s, int64_t of, int lane) const {
    return spare != nullptr ? spare + lane * (s.channels | 1) : to.image + of * s.channels;
  }

  VOGE_DEVICE void take(const voge_scene& s, const LocalRay<T>& ray, const Outcome<T>& hit, int = 0) {
    const T* features = static_cast<const T*>(s.features);
    if (hit.done) distance += hit.weight * (hit.depth + ray.shift);
    if (s.channels <= kFewChannels) {
      if (!hit.done) return;
#pragma unroll
      for (int c = 0; c < kFewChannels; ++c)
        if (c < s.channels) pixel[c] += hit.weight * features[hit.id * s.channels + c];
    } else {
      each_lane(hit.done, [&](int lane) VOGE_INLINED {
        const int64_t id = __shfl_sync(kWholeWarp, hit.id, lane), at = __shfl_sync(kWholeWarp, index, lane);
        const T weight = __shfl_sync(kWholeWarp, hit.weight, lane);
        T* const sums = row(s, at, lane);
        for (int64_t c = threadIdx.x % 32; c < s.channels; c += 32) sums[c] += weight * features[id * s.channels + c];
      });
    }
  }

  // Where all lanes have worked on one ray.
  VOGE_DEVICE void gather() {
    distance = warp_sum(distance);
#pragma unroll
    for (int c = 0; c < kFewChannels; ++c) pixel[c] = warp_sum(pixel[c]);
    __syncwarp();
  }

  VOGE_DEVICE void end(const voge_scene& s, T passed) const {
    to.transmittance[index] = passed, to.depth[index] = distance;
    if (s.channels > kFewChannels) {
      if (spare != nullptr)
        for (int64_t c = 0; c < s.channels; ++c) to.image[index * s.channels + c] = row(s, index, threadIdx.x % 32)[c];
      return;
    }
#pragma unroll
    for (int c = 0; c < kFewChannels; ++c)
      if (c < s.channels) to.image[index * s.channels + c] = pixel[c];
  }
};

template <class T>
struct PictureGradients {
  const T *g_image, *g_transmittance, *g_depth;
  ToGeometry<T> geometry;
  Gathered<T> features;  // more than a few channels
};

template <class T>
struct PictureGradientJob {
  using Arguments = PictureGradients<T>;
  static constexpr bool kBackward = true, kRows = false;
  static constexpr T enough = INFINITY;  // gradients never stop early
  static int64_t spare_size(const voge_scene&) { return 0; }
  const PictureGradients<T>& to;
  const int64_t index;
  RayGradient<T> to_ray;
  T g_pixel[kFewChannels] = {0}, g_distance;

  VOGE_DEVICE PictureGradientJob(const voge_scene& s, const PictureGradients<T>& to_, int64_t index_, bool, T*)
      : to(to_), index(index_), g_distance(to_.g_depth[index_]) {
    if (s.channels > kFewChannels) return;
#pragma unroll
    for (int c = 0; c < kFewChannels; ++c)
      if (c < s.channels) g_pixel[c] = to.g_image[index * s.channels + c];
  }
  VOGE_DEVICE T g_transmittance() const { return to.g_transmittance[index]; }

  // dL/dW of a hit at a true distance.
  VOGE_DEVICE T gradient(const voge_scene& s, bool mine, int32_t id, T distance, int = 0) const {
    const T* features = static_cast<const T*>(s.features);
    T g = g_distance * distance;
    if (s.channels <= kFewChannels) {
      if (!mine) return 0;
#pragma unroll
      for (int c = 0; c < kFewChannels; ++c)
        if (c < s.channels) g += g_pixel[c] * features[id * s.channels + c];
    } else {
      each_lane(mine, [&](int lane) VOGE_INLINED {
        const int64_t of = __shfl_sync(kWholeWarp, id, lane), at = __shfl_sync(kWholeWarp, index, lane);
        T part = 0;
        for (int64_t c = threadIdx.x % 32; c < s.channels; c += 32)
          part += to.g_image[at * s.channels + c] * features[of * s.channels + c];
        part = warp_sum(part);
        if (threadIdx.x % 32 == lane) g += part;
      });
    }
    return g;
  }

  VOGE_DEVICE void take(const voge_scene& s, const LocalRay<T>& ray, const Outcome<T>& hit, int = 0) {
    if (hit.done) {
      T extra[kFewChannels];
      for (int c = 0; c < kFewChannels; ++c) extra[c] = hit.weight * g_pixel[c];
      to_ray.spread(s, to.geometry, ray, hit, hit.g_depth + g_distance * hit.weight, extra);
    }
    if (s.channels <= kFewChannels) return;
    each_lane(hit.done, [&](int lane) VOGE_INLINED {
      const int64_t of = __shfl_sync(kWholeWarp, hit.id, lane), at = __shfl_sync(kWholeWarp, index, lane);
      const T weight = __shfl_sync(kWholeWarp, hit.weight, lane);
      for (int64_t c = threadIdx.x % 32; c < s.channels; c += 32)
        to.features.add(of * s.channels + c, weight * to.g_image[at * s.channels + c]);
    });
  }

  VOGE_DEVICE void gather() { to_ray.gather(to.geometry); }
  VOGE_DEVICE void end(const voge_scene&, T) const { to_ray.write(to.geometry, index); }
};

}  // namespace
}  // namespace voge

using namespace voge;

int32_t voge_cuda_render(const voge_scene* s, void* image, void* transmittance, void* depth, int32_t* overflow,
                         void* deep) {
  return launch(s->device, s->scalar_size, [&](auto zero) {
    using T = decltype(zero);
    return walk_rays<T, PictureJob>(
        *s, {static_cast<T*>(image), static_cast<T*>(transmittance), static_cast<T*>(depth)}, overflow, deep);
  });
}

int32_t voge_cuda_render_backward(const voge_scene* s, const void* g_image, const void* g_transmittance,
                                  const void* g_depth, void* g_means, void* g_scales, void* g_quats, void* g_density,
                                  void* g_features, void* g_origins, void* g_directions, const voge_cuda_sums* sums,
                                  int32_t* overflow, void* deep) {
  return launch(s->device, s->scalar_size, [&](auto zero) {
    using T = decltype(zero);
    const auto walk = [&](const Gathered<T>& geometry, const Gathered<T>& features) {
      const PictureGradients<T> to{static_cast<const T*>(g_image),
                                   static_cast<const T*>(g_transmittance),
                                   static_cast<const T*>(g_depth),
                                   {geometry, static_cast<T*>(g_origins), static_cast<T*>(g_directions)},
                                   features};
      return walk_rays<T, PictureGradientJob>(*s, to, overflow, deep);
    };
    return gather_gradients<T>(*s, *sums, walk, static_cast<T*>(g_means), static_cast<T*>(g_scales),
                               static_cast<T*>(g_quats), static_cast<T*>(g_density), static_cast<T*>(g_features),
                               s->channels > kFewChannels ? s->count * s->channels : 0);
  });
}

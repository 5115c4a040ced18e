// Pictures on the GPU without any table of hits, and their gradients.

#include "gradient.cuh"

namespace voge {
namespace {

// The warp's lanes that have something to do, those with the same `id` at once: visit(id, lanes).
template <class Visit>
VOGE_DEVICE void each_group(bool mine, int32_t id, Visit visit) {
  for (unsigned left = __ballot_sync(kWholeWarp, mine); left != 0;) {
    const int32_t first = __shfl_sync(kWholeWarp, id, __ffs(left) - 1);
    const unsigned lanes = __ballot_sync(kWholeWarp, mine && id == first);
    visit(first, lanes);
    left &= ~lanes;
  }
}
template <class Visit>
VOGE_DEVICE void each_lane(unsigned lanes, Visit visit) {
  for (; lanes != 0; lanes &= lanes - 1) visit(__ffs(lanes) - 1);
}

// A pixel of many channels for each lane's ray: rows of an image, or in shared memory if they fit. A warp works on a
// row together, a lane on two channels of 64.
template <class T>
struct PixelRows {
  T *const image, *const spare;
  const int64_t index, channels;

  // Scalars of spare memory for a warp: rows that begin in different banks, whole fours; then one row more.
  static __host__ __device__ int64_t padded(int64_t channels) { return (channels + 3) / 4 * 4; }
  static __host__ __device__ int64_t spare_size(const voge_scene& s) {
    return s.channels <= 64 ? 32 * (padded(s.channels) + 4) + 64 : 0;
  }
  VOGE_DEVICE PixelRows(const voge_scene& s, T* image_, T* spare_, int64_t index_)
      : image(image_), spare(spare_size(s) > 0 ? spare_ : nullptr), index(index_), channels(s.channels) {}

  VOGE_DEVICE T* row_in_image(int lane) const { return image + __shfl_sync(kWholeWarp, index, lane) * channels; }
  VOGE_DEVICE T* row(int lane) const {
    return spare != nullptr ? spare + lane * (static_cast<int>(padded(channels)) + 4) : row_in_image(lane);
  }
  VOGE_DEVICE T* row_more() const { return row(32); }

  // visit(channel, other) for the lane's two of every 64 channels, by all lanes; beyond the last they are -1.
  template <class Visit>
  VOGE_DEVICE void each_pair(Visit visit) const {
    for (int base = 0; base < channels; base += 64) {
      const int c = base + static_cast<int>(threadIdx.x % 32);
      visit(c < channels ? c : -1, c + 32 < channels ? c + 32 : -1);
    }
  }
  // Zeros, or what the image holds, for the rows of the lanes that ask.
  VOGE_DEVICE void fill(bool mine, bool from_image) const {
    if (spare != nullptr) {
      const int size = 32 * (static_cast<int>(padded(channels)) + 4);
      for (int i = threadIdx.x % 32; i < size; i += 32) spare[i] = 0;
      __syncwarp();
    }
    if (spare != nullptr && !from_image) return;
    each_lane(__ballot_sync(kWholeWarp, mine), [&](int lane) VOGE_INLINED {
      T* const from = row_in_image(lane);
      T* const to = row(lane);
      for (int c = threadIdx.x % 32; c < channels; c += 32) to[c] = from_image ? from[c] : T(0);
    });
    __syncwarp();
  }
  VOGE_DEVICE void write(bool mine) const {
    if (spare == nullptr) return;
    __syncwarp();
    each_lane(__ballot_sync(kWholeWarp, mine), [&](int lane) VOGE_INLINED {
      const T* const from = row(lane);
      T* const to = row_in_image(lane);
      for (int c = threadIdx.x % 32; c < channels; c += 32) to[c] = from[c];
    });
  }
};

template <class T>
struct Pictures {
  T *image, *transmittance, *depth;
};

// What a ray shows. Up to a few channels a lane keeps them to itself.
template <class T, bool kFew>
struct PictureJob {
  using Arguments = Pictures<T>;
  static constexpr bool kBackward = false, kRows = false, kColors = false;
  const Pictures<T>& to;
  const int64_t index;
  const T enough;  // optical depth in front of all that is to come at which a ray ends
  T pixel[kFewChannels] = {0}, distance = 0;
  const PixelRows<T> rows;

  static __host__ __device__ int64_t spare_size(const voge_scene& s) { return kFew ? 0 : PixelRows<T>::spare_size(s); }

  VOGE_DEVICE PictureJob(const voge_scene& s, const Pictures<T>& to_, int64_t index_, bool valid, T* spare)
      : to(to_),
        index(index_),
        enough(s.stop_transmittance > 0 ? static_cast<T>(-log(s.stop_transmittance)) : static_cast<T>(INFINITY)),
        rows(s, to_.image, spare, index_) {
    if constexpr (!kFew) rows.fill(valid, false);
  }

  struct Color {
    T of[kFewChannels];
  };
  VOGE_DEVICE Color fetch(const voge_scene& s, const Outcome<T>& hit) const {
    Color out{};
    const T* features = static_cast<const T*>(s.features) + hit.id * s.channels;
#pragma unroll
    for (int c = 0; c < kFewChannels; ++c)
      if (kFew && hit.done && c < s.channels) out.of[c] = features[c];
    return out;
  }

  VOGE_DEVICE void take(const voge_scene& s, const LocalRay<T>& ray, const Outcome<T>& hit, const Color& color,
                        int = 0) {
    const T* features = static_cast<const T*>(s.features);
    if (hit.done) distance += hit.weight * (hit.depth + ray.shift);
    if constexpr (kFew) {
#pragma unroll
      for (int c = 0; c < kFewChannels; ++c) pixel[c] += hit.weight * color.of[c];
    } else {
      add_rows(features, hit);
    }
  }

  // Where all lanes have worked on one ray.
  VOGE_DEVICE void gather() {
    distance = warp_sum(distance);
#pragma unroll
    for (int c = 0; c < kFewChannels; ++c) pixel[c] = warp_sum(pixel[c]);
    __syncwarp();
  }

  // For all lanes; of those that have a ray of their own that has fitted.
  VOGE_DEVICE void end(const voge_scene& s, bool mine, T passed) const {
    if constexpr (!kFew) rows.write(mine);
    if (!mine) return;
    to.transmittance[index] = passed, to.depth[index] = distance;
    if constexpr (kFew)
#pragma unroll
      for (int c = 0; c < kFewChannels; ++c)
        if (c < s.channels) to.image[index * s.channels + c] = pixel[c];
  }

 private:
  // Several hits at a time, since each waits for its features.
  VOGE_DEVICE void add_rows(const T* features, const Outcome<T>& hit) const {
    constexpr int kAtOnce = 4;
    for (unsigned left = __ballot_sync(kWholeWarp, hit.done); left != 0;) {
      const T* of[kAtOnce];
      T* to[kAtOnce];
      T weight[kAtOnce];
#pragma unroll
      for (int k = 0; k < kAtOnce; ++k) {
        const int lane = left != 0 ? __ffs(left) - 1 : 0;
        weight[k] = __shfl_sync(kWholeWarp, hit.weight, lane);
        of[k] = left != 0 ? features + __shfl_sync(kWholeWarp, hit.id, lane) * rows.channels : nullptr;
        to[k] = rows.row(lane);
        left &= left - 1;
      }
      rows.each_pair([&](int c, int d) VOGE_INLINED {
        T first[kAtOnce], second[kAtOnce];
#pragma unroll
        for (int k = 0; k < kAtOnce; ++k) {
          first[k] = of[k] != nullptr && c >= 0 ? of[k][c] : T(0);
          second[k] = of[k] != nullptr && d >= 0 ? of[k][d] : T(0);
        }
#pragma unroll
        for (int k = 0; k < kAtOnce; ++k) {
          if (of[k] == nullptr) continue;
          if (c >= 0) to[k][c] += weight[k] * first[k];
          if (d >= 0) to[k][d] += weight[k] * second[k];
        }
      });
    }
  }
};

template <class T>
struct PictureGradients {
  T* g_image;
  const T *g_transmittance, *g_depth;
  ToGeometry<T> geometry;
  Gathered<T> features;  // more than a few channels
};

template <class T, bool kFew>
struct PictureGradientJob {
  using Arguments = PictureGradients<T>;
  static constexpr bool kBackward = true, kRows = false, kColors = kFew;
  static constexpr T enough = INFINITY;  // gradients never stop early
  const PictureGradients<T>& to;
  const int64_t index;
  RayGradient<T> to_ray;
  T g_pixel[kFewChannels] = {0}, g_distance, sign = 1;
  const PixelRows<T> rows;

  static __host__ __device__ int64_t spare_size(const voge_scene& s) { return kFew ? 0 : PixelRows<T>::spare_size(s); }

  VOGE_DEVICE PictureGradientJob(const voge_scene& s, const PictureGradients<T>& to_, int64_t index_, bool valid,
                                 T* spare)
      : to(to_),
        index(index_),
        g_distance(to_.g_depth != nullptr ? to_.g_depth[index_] : T(0)),
        rows(s, to_.g_image, spare, index_) {
    if constexpr (kFew) {
#pragma unroll
      for (int c = 0; c < kFewChannels; ++c)
        if (c < s.channels) g_pixel[c] = to.g_image[index * s.channels + c];
    } else if (rows.spare != nullptr) {
      rows.fill(valid, true);
    }
  }
  VOGE_DEVICE T g_transmittance() const {
    return to.g_transmittance != nullptr ? sign * to.g_transmittance[index] : T(0);
  }
  VOGE_DEVICE T transmittance(const voge_scene& s) const {
    return s.transmittance != nullptr ? static_cast<const T*>(s.transmittance)[index] : T(0);
  }

  // All gradients from now on are negative.
  VOGE_DEVICE void take_back() { sign = -1; }
  VOGE_DEVICE bool takes_back() const { return sign < 0; }

  // dL/dW of a hit at a true distance; with `color` all lanes ask for the same ellipsoid, of that color.
  VOGE_DEVICE T gradient(const voge_scene& s, bool mine, int32_t id, T distance, const float4* color, int = 0) const {
    const T* features = static_cast<const T*>(s.features);
    T g = g_distance * distance;
    if constexpr (kFew) {
      if (color != nullptr)
        return sign * (g + T(color->x) * g_pixel[0] + T(color->y) * g_pixel[1] + T(color->z) * g_pixel[2] +
                       T(color->w) * g_pixel[3]);
      if (!mine) return 0;
      const T* of = features + id * s.channels;
#pragma unroll
      for (int c = 0; c < kFewChannels; ++c)
        if (c < s.channels) g += g_pixel[c] * of[c];
    } else if (color != nullptr && rows.spare != nullptr) {
      if (any(mine)) g += product(features + id * s.channels);
    } else {
      each_group(mine, id, [&](int32_t of, unsigned lanes) VOGE_INLINED {
        each_lane(lanes, [&](int lane) VOGE_INLINED {
          const T* row = rows.row(lane);
          T part = 0;
          for (int c = threadIdx.x % 32; c < s.channels; c += 32) part += row[c] * features[of * s.channels + c];
          part = warp_sum(part);
          if (threadIdx.x % 32 == lane) g += part;
        });
      });
    }
    return sign * g;
  }

  VOGE_DEVICE Packed<T> fetch(const voge_scene& s, const Outcome<T>& hit) const {
    return hit.done ? load_packed(static_cast<const T*>(s.packed), hit.id) : Packed<T>{};
  }

  VOGE_DEVICE void take(const voge_scene& s, const LocalRay<T>& ray, const Outcome<T>& hit, const Packed<T>& ellipsoid,
                        int = 0) {
    if (hit.done) {
      T extra[kFewChannels];
      const T weight = sign * hit.weight;
      for (int c = 0; c < kFewChannels; ++c) extra[c] = weight * g_pixel[c];
      to_ray.spread(to.geometry, ray, hit, ellipsoid, hit.g_depth + g_distance * weight, extra);
    }
    if constexpr (kFew) return;
    each_group(hit.done, hit.id, [&](int32_t id, unsigned lanes) VOGE_INLINED {
      rows.each_pair([&](int c, int d) VOGE_INLINED {
        T first = 0, second = 0;
        each_lane(lanes, [&](int lane) VOGE_INLINED {
          const T weight = __shfl_sync(kWholeWarp, hit.weight, lane);
          const T* row = rows.row(lane);
          if (c >= 0) first += weight * row[c];
          if (d >= 0) second += weight * row[d];
        });
        if (c >= 0) to.features.add(id * s.channels + c, sign * first);
        if (d >= 0) to.features.add(id * s.channels + d, sign * second);
      });
    });
  }

  VOGE_DEVICE void gather() { to_ray.gather(to.geometry); }
  VOGE_DEVICE void end(const voge_scene&, bool mine, T) const {
    if (mine) to_ray.write(to.geometry, index);
  }

 private:
  // Of the lane's row and features that are the same for all lanes: read once, handed on by shared memory.
  VOGE_DEVICE T product(const T* features) const {
    T *const same = rows.row_more(), *const own = rows.row(threadIdx.x % 32);
    const int count = static_cast<int>(PixelRows<T>::padded(rows.channels));
    __syncwarp();
    for (int c = threadIdx.x % 32; c < count; c += 32) same[c] = c < rows.channels ? features[c] : T(0);
    __syncwarp();
    struct alignas(4 * sizeof(T)) Four {
      T x, y, z, w;
    };
    T sums[4] = {0};
#pragma unroll 4
    for (int k = 0; k < count / 4; ++k) {
      const Four a = reinterpret_cast<const Four*>(own)[k], b = reinterpret_cast<const Four*>(same)[k];
      sums[0] += a.x * b.x, sums[1] += a.y * b.y, sums[2] += a.z * b.z, sums[3] += a.w * b.w;
    }
    return (sums[0] + sums[1]) + (sums[2] + sums[3]);
  }
};

template <class T>
using FewPictureJob = PictureJob<T, true>;
template <class T>
using ManyPictureJob = PictureJob<T, false>;
template <class T>
using FewPictureGradientJob = PictureGradientJob<T, true>;
template <class T>
using ManyPictureGradientJob = PictureGradientJob<T, false>;

}  // namespace
}  // namespace voge

using namespace voge;

int32_t voge_cuda_render(const voge_scene* s, void* image, void* transmittance, void* depth, int32_t* overflow,
                         void* deep) {
  return launch(s->device, s->scalar_size, [&](auto zero) {
    using T = decltype(zero);
    const Pictures<T> to{static_cast<T*>(image), static_cast<T*>(transmittance), static_cast<T*>(depth)};
    return s->channels <= kFewChannels ? walk_rays<T, FewPictureJob>(*s, to, overflow, deep)
                                       : walk_rays<T, ManyPictureJob>(*s, to, overflow, deep);
  });
}

int32_t voge_cuda_render_backward(const voge_scene* s, const void* g_image, const void* g_transmittance,
                                  const void* g_depth, void* g_means, void* g_scales, void* g_quats, void* g_density,
                                  void* g_features, void* g_origins, void* g_directions, const voge_cuda_sums* sums,
                                  int32_t* overflow, void* deep) {
  return launch(s->device, s->scalar_size, [&](auto zero) {
    using T = decltype(zero);
    const auto walk = [&](const Gathered<T>& geometry, const Gathered<T>& features) {
      const PictureGradients<T> to{static_cast<T*>(const_cast<void*>(g_image)),  // only read
                                   static_cast<const T*>(g_transmittance),
                                   static_cast<const T*>(g_depth),
                                   {geometry, static_cast<T*>(g_origins), static_cast<T*>(g_directions)},
                                   features};
      return s->channels <= kFewChannels ? walk_rays<T, FewPictureGradientJob>(*s, to, overflow, deep)
                                         : walk_rays<T, ManyPictureGradientJob>(*s, to, overflow, deep);
    };
    return gather_gradients<T>(*s, *sums, walk, static_cast<T*>(g_means), static_cast<T*>(g_scales),
                               static_cast<T*>(g_quats), static_cast<T*>(g_density), static_cast<T*>(g_features),
                               s->channels > kFewChannels ? s->count * s->channels : 0);
  });
}

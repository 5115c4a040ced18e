// Fragments on the GPU: W in compressed rows, and its gradients.

#include "gradient.cuh"

namespace voge {
namespace {

template <class T>
struct Rows {
  const int64_t* offsets;
  int32_t* index;
  T *weight, *depth, *transmittance;
};

// Hits come in the order of their depths, the k-th to the k-th place. They were counted by another kernel, whose
// rounding may see one more or less.
template <class T>
struct RowJob {
  using Arguments = Rows<T>;
  static constexpr bool kBackward = false, kRows = true;
  static constexpr T enough = INFINITY;  // all hits
  const Rows<T>& to;
  const int64_t index, begin, count;
  int64_t filled = 0;

  VOGE_DEVICE RowJob(const voge_scene&, const Rows<T>& to_, int64_t index_, bool, T*)
      : to(to_), index(index_), begin(to_.offsets[index_]), count(to_.offsets[index_ + 1] - begin) {}

  struct Nothing {};
  VOGE_DEVICE Nothing fetch(const voge_scene&, const Outcome<T>&) const { return {}; }

  VOGE_DEVICE void take(const voge_scene&, const LocalRay<T>& ray, const Outcome<T>& hit, Nothing, int k) {
    if (!hit.done || k >= count) return;
    to.index[begin + k] = hit.id, to.weight[begin + k] = hit.weight, to.depth[begin + k] = hit.depth + ray.shift;
    filled = k + 1;
  }

  VOGE_DEVICE void gather() { filled = __reduce_max_sync(kWholeWarp, static_cast<int>(filled)); }

  VOGE_DEVICE void end(const voge_scene&, bool mine, T passed) {
    if (!mine) return;
    to.transmittance[index] = passed;
    for (int64_t i = begin + filled; i < begin + count; ++i)
      to.index[i] = i > begin ? to.index[i - 1] : 0, to.weight[i] = 0, to.depth[i] = i > begin ? to.depth[i - 1] : T(0);
  }
};

template <class T>
struct RowGradients {
  const int64_t* offsets;
  const int32_t* index;
  const T *g_weight, *g_depth, *g_transmittance;
  ToGeometry<T> geometry;
};

template <class T>
struct RowGradientJob {
  using Arguments = RowGradients<T>;
  static constexpr bool kBackward = true, kRows = true;
  static constexpr T enough = INFINITY;
  const RowGradients<T>& to;
  const int64_t index, begin, count;
  RayGradient<T> to_ray;

  VOGE_DEVICE RowGradientJob(const voge_scene&, const RowGradients<T>& to_, int64_t index_, bool, T*)
      : to(to_), index(index_), begin(to_.offsets[index_]), count(to_.offsets[index_ + 1] - begin) {}
  VOGE_DEVICE T g_transmittance() const { return to.g_transmittance[index]; }

  // The value of the hit that is the k-th, or nearly, by depth.
  VOGE_DEVICE T of(const T* values, int32_t id, int k) const {
    for (int64_t away = 0; away < count; ++away) {
      if (k - away >= 0 && k - away < count && to.index[begin + k - away] == id) return values[begin + k - away];
      if (k + away < count && to.index[begin + k + away] == id) return values[begin + k + away];
    }
    return 0;
  }

  VOGE_DEVICE T gradient(const voge_scene&, bool mine, int32_t id, T, const float4*, int k) const {
    return mine ? of(to.g_weight, id, k) : T(0);
  }

  VOGE_DEVICE Packed<T> fetch(const voge_scene& s, const Outcome<T>& hit) const {
    return hit.done ? load_packed(static_cast<const T*>(s.packed), hit.id) : Packed<T>{};
  }

  VOGE_DEVICE void take(const voge_scene&, const LocalRay<T>& ray, const Outcome<T>& hit, const Packed<T>& ellipsoid,
                        int k) {
    const T none[kFewChannels] = {0};
    if (hit.done) to_ray.spread(to.geometry, ray, hit, ellipsoid, hit.g_depth + of(to.g_depth, hit.id, k), none);
  }

  VOGE_DEVICE void gather() { to_ray.gather(to.geometry); }
  VOGE_DEVICE void end(const voge_scene&, bool mine, T) const {
    if (mine) to_ray.write(to.geometry, index);
  }
};

// A warp a ray: how many it meets, and how many of them the limit leaves out.
template <class T>
__global__ void count_kernel(const __grid_constant__ voge_scene s, int64_t* counts, int64_t* truncated) {
  const int64_t index = static_cast<int64_t>(blockIdx.x) * (blockDim.x / 32) + threadIdx.x / 32;
  if (index >= s.views * s.height * s.width) return;
  const LocalRay<T> ray(s, index, Grid(s).tile_of(s, index));
  const Bounds<T> bounds(s, ray.shift);
  int found = 0;
  for (int64_t i = ray.begin + threadIdx.x % 32; i < ray.end; i += 32) {
    const Packed<T> e = load_packed(static_cast<const T*>(s.packed), s.tile_members[i]);
    found += bounds.hold(intersect(e.mean, e.whitening, ray.origin, ray.direction), e.least);
  }
  found = __reduce_add_sync(kWholeWarp, found);
  if (threadIdx.x % 32 != 0) return;
  counts[index] = s.limit > 0 && found > s.limit ? s.limit : found;
  truncated[index] = found - counts[index];
}

template <class T>
__global__ void pack_kernel(voge_scene s, T* packed) {
  const int64_t n = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (n >= s.count) return;
  const Vec3<T> m = point_at<T>(s.means, n);
  const Mat3<T> a = whitening_of(static_cast<const T*>(s.scales) + 3 * n, static_cast<const T*>(s.quats) + 4 * n);
  const T density = static_cast<const T*>(s.density)[n];
  struct alignas(16) Four {
    T of[4];
  };
  Four* const row = reinterpret_cast<Four*>(packed + kRow * n);
  row[0] = {m.x, m.y, m.z, a.r0.x}, row[1] = {a.r0.y, a.r0.z, a.r1.x, a.r1.y};
  row[2] = {a.r1.z, a.r2.x, a.r2.y, a.r2.z};
  row[3] = {density, static_cast<T>(log(s.eta / static_cast<double>(density))), T(0), T(0)};
}

}  // namespace
}  // namespace voge

using namespace voge;

int64_t voge_cuda_deep_bytes(const voge_scene* s, int32_t backward) {
  if (s->scalar_size == 4)
    return backward ? deep_bytes<float, RowGradientJob<float>>(*s) : deep_bytes<float, RowJob<float>>(*s);
  return backward ? deep_bytes<double, RowGradientJob<double>>(*s) : deep_bytes<double, RowJob<double>>(*s);
}

int32_t voge_cuda_pack(const voge_scene* s, void* packed) {
  return launch(s->device, s->scalar_size, [&](auto zero) {
    using T = decltype(zero);
    if (s->count > 0) pack_kernel<T><<<blocks_for(s->count, 256), 256, 0, stream_of(*s)>>>(*s, static_cast<T*>(packed));
    return cudaSuccess;
  });
}

int32_t voge_cuda_trace_counts(const voge_scene* s, int64_t* counts, int64_t* truncated) {
  return launch(s->device, s->scalar_size, [&](auto zero) {
    const int64_t rays = s->views * s->height * s->width;
    if (rays > 0) count_kernel<decltype(zero)><<<blocks_for(rays, 8), 256, 0, stream_of(*s)>>>(*s, counts, truncated);
    return cudaSuccess;
  });
}

int32_t voge_cuda_trace(const voge_scene* s, const int64_t* offsets, int32_t* index, void* weight, void* depth,
                        void* transmittance, int32_t* overflow, void* deep) {
  return launch(s->device, s->scalar_size, [&](auto zero) {
    using T = decltype(zero);
    return walk_rays<T, RowJob>(
        *s, {offsets, index, static_cast<T*>(weight), static_cast<T*>(depth), static_cast<T*>(transmittance)}, overflow,
        deep);
  });
}

int32_t voge_cuda_trace_backward(const voge_scene* s, const int64_t* offsets, const int32_t* index,
                                 const void* g_weight, const void* g_depth, const void* g_transmittance, void* g_means,
                                 void* g_scales, void* g_quats, void* g_density, void* g_origins, void* g_directions,
                                 const voge_cuda_sums* sums, int32_t* overflow, void* deep) {
  return launch(s->device, s->scalar_size, [&](auto zero) {
    using T = decltype(zero);
    const auto walk = [&](const Gathered<T>& geometry, const Gathered<T>&) {
      const RowGradients<T> to{offsets,
                               index,
                               static_cast<const T*>(g_weight),
                               static_cast<const T*>(g_depth),
                               static_cast<const T*>(g_transmittance),
                               {geometry, static_cast<T*>(g_origins), static_cast<T*>(g_directions)}};
      return walk_rays<T, RowGradientJob>(*s, to, overflow, deep);
    };
    return gather_gradients<T>(*s, *sums, walk, static_cast<T*>(g_means), static_cast<T*>(g_scales),
                               static_cast<T*>(g_quats), static_cast<T*>(g_density), nullptr, 0);
  });
}

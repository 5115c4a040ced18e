// Pictures and fragments on the GPU: a warp a ray; rays with many hits go on to blocks.

#include "launch.cuh"
#include "ray.cuh"

namespace voge {
namespace {

constexpr int kWarps = 8;            // warps a block, all on one tile
constexpr int kWarpEvents = 256;     // events that a warp's shared memory holds
constexpr int kBlock = 256;          // threads of a block that works on one ray
constexpr int kDeepBlocks = 16;      // blocks that work in global memory
template <class T>
constexpr int block_events() { return sizeof(T) == 4 ? 4096 : 2048; }

struct Grid {
  int64_t columns, per_view, total;
  __host__ __device__ explicit Grid(const voge_scene& s)
      : columns((s.width + s.tile_width - 1) / s.tile_width),
        per_view(columns * ((s.height + s.tile_height - 1) / s.tile_height)),
        total(per_view * s.views) {}
};

__device__ int64_t tile_of(const voge_scene& s, const Grid& grid, int64_t ray) {
  const int64_t x = ray % s.width, y = ray / s.width % s.height, view = ray / (s.width * s.height);
  return view * grid.per_view + y / s.tile_height * grid.columns + x / s.tile_width;
}

// Rays that a kernel leaves to the next one.
struct Overflow {
  int32_t* list;  // [0]: how many, then their numbers
  __device__ void add(int64_t ray) const { list[1 + atomicAdd(list, 1)] = static_cast<int32_t>(ray); }
};

template <class T, class Job>
__global__ void __launch_bounds__(32 * kWarps, 2) tile_kernel(voge_scene s, Job job, Overflow later) {
  extern __shared__ __align__(16) char shared[];
  const Grid grid(s);
  const int warp = threadIdx.x / 32;
  const Team<32> team{static_cast<int>(threadIdx.x % 32), nullptr};
  const RayMemory<T> memory(shared + warp * RayMemory<T>::bytes(kWarpEvents, s.boxes, Job::kBackward), kWarpEvents,
                            s.boxes, Job::kBackward);
  const int64_t tile = blockIdx.x, view = tile / grid.per_view, within = tile % grid.per_view;
  const int64_t top = within / grid.columns * s.tile_height, left = within % grid.columns * s.tile_width;
  for (int64_t i = warp; i < s.tile_height * s.tile_width; i += kWarps) {
    const int64_t y = top + i / s.tile_width, x = left + i % s.tile_width;
    if (y >= s.height || x >= s.width) continue;
    const int64_t ray = (view * s.height + y) * s.width + x;
    if (!job.template run<T, 32>(s, team, memory, ray, tile) && team.lane == 0) later.add(ray);
    team.sync();
  }
}

template <class T, class Job>
__global__ void __launch_bounds__(kBlock) list_kernel(voge_scene s, Job job, const int32_t* rays, Overflow later,
                                                      char* deep, int events) {
  extern __shared__ __align__(16) char shared[];
  __shared__ double warp_sums[kBlock / 32];
  const Grid grid(s);
  const Team<kBlock> team{static_cast<int>(threadIdx.x), warp_sums};
  char* const base = deep != nullptr ? deep + blockIdx.x * RayMemory<T>::bytes(events, s.boxes, Job::kBackward) : shared;
  const RayMemory<T> memory(base, events, s.boxes, Job::kBackward);
  for (int i = blockIdx.x; i < rays[0]; i += gridDim.x) {
    const int64_t ray = rays[1 + i];
    if (!job.template run<T, kBlock>(s, team, memory, ray, tile_of(s, grid, ray)) && team.lane == 0) later.add(ray);
    team.sync();
  }
}

// Events of the longest list, rounded up: what no ray exceeds.
int64_t deep_events(const voge_scene& s) {
  int64_t events = 32;
  while (events < 2 * s.boxes * static_cast<int64_t>(s.longest_list)) events *= 2;
  return events;
}
template <class T>
bool is_deep(const voge_scene& s) { return deep_events(s) > block_events<T>(); }

template <class T, class Job>
cudaError_t run_tiers(const voge_scene& s, const Job& job, int32_t* overflow, void* deep) {
  const Grid grid(s);
  const int64_t rays = s.views * s.height * s.width;
  if (rays == 0) return cudaSuccess;
  const cudaStream_t stream = stream_of(s);
  const Overflow to_blocks{overflow}, to_deep{overflow + rays + 1};
  cudaMemsetAsync(to_blocks.list, 0, sizeof(int32_t), stream);
  cudaMemsetAsync(to_deep.list, 0, sizeof(int32_t), stream);
  const int small = kWarps * static_cast<int>(RayMemory<T>::bytes(kWarpEvents, s.boxes, Job::kBackward));
  cudaError_t error = cudaFuncSetAttribute(tile_kernel<T, Job>, cudaFuncAttributeMaxDynamicSharedMemorySize, small);
  if (error != cudaSuccess) return error;
  tile_kernel<T, Job><<<static_cast<unsigned>(grid.total), 32 * kWarps, small, stream>>>(s, job, to_blocks);
  if (deep_events(s) <= kWarpEvents) return cudaSuccess;
  const int events = block_events<T>(), large = static_cast<int>(RayMemory<T>::bytes(events, s.boxes, Job::kBackward));
  error = cudaFuncSetAttribute(list_kernel<T, Job>, cudaFuncAttributeMaxDynamicSharedMemorySize, large);
  if (error != cudaSuccess) return error;
  int processors = 1;
  cudaDeviceGetAttribute(&processors, cudaDevAttrMultiProcessorCount, s.device);
  list_kernel<T, Job><<<processors, kBlock, large, stream>>>(s, job, to_blocks.list, to_deep, nullptr, events);
  if (is_deep<T>(s))
    list_kernel<T, Job><<<kDeepBlocks, kBlock, 0, stream>>>(s, job, to_deep.list, to_blocks, static_cast<char*>(deep),
                                                            static_cast<int>(deep_events(s)));
  return cudaSuccess;
}

// All hits of a ray, ordered where the aggregation or the caller needs it; false if they do not fit.
template <class T, int kSize>
__device__ bool find_hits(const voge_scene& s, const Team<kSize>& team, const RayMemory<T>& m, const LocalRay<T>& ray,
                          bool ordered, bool may_stop, int& count) {
  const bool plain = s.aggregation == VOGE_EXACT && s.limit == 0;
  if (!collect(s, team, m, ray, may_stop && plain, count)) return false;
  if (ordered || !plain) order_hits(team, m, s.limit, count);
  return true;
}

constexpr int kFewChannels = 8;  // up to here lanes take hits, beyond they take channels

template <class T>
struct RenderJob {
  static constexpr bool kBackward = false;
  T *image, *transmittance, *depth;

  template <class U, int kSize>
  __device__ bool run(const voge_scene& s, const Team<kSize>& team, const RayMemory<T>& m, int64_t index, int64_t tile) const {
    const LocalRay<T> ray(s, index, tile);
    int count;
    if (!find_hits(s, team, m, ray, false, true, count)) return false;
    const double passed = count > 0 ? weigh(s, team, m, ray, count) : 1.0;
    T distance = 0;
    for (int k = team.lane; k < count; k += kSize) distance += m.weight[k] * (m.depth[k] + ray.shift);
    distance = count > 0 ? team.sum(distance) : T(0);
    if (team.lane == 0) depth[index] = distance, transmittance[index] = static_cast<T>(passed);
    shade(s, team, m, index, count);
    return true;
  }

  template <int kSize>
  __device__ void shade(const voge_scene& s, const Team<kSize>& team, const RayMemory<T>& m, int64_t index, int count) const {
    const T* features = static_cast<const T*>(s.features);
    T* pixel = image + index * s.channels;
    if (count > 0 && s.channels <= kFewChannels) {
      for (int64_t c = 0; c < s.channels; ++c) {
        T value = 0;
        for (int k = team.lane; k < count; k += kSize) value += m.weight[k] * features[m.id[k] * s.channels + c];
        value = team.sum(value);
        if (team.lane == 0) pixel[c] = value;
      }
      return;
    }
    for (int64_t c = team.lane; c < s.channels; c += kSize) {
      T value = 0;
      for (int k = 0; k < count; ++k) value += m.weight[k] * features[m.id[k] * s.channels + c];
      pixel[c] = value;
    }
  }
};

__device__ inline void add4(float* to, float a, float b, float c, float d) {
#if __CUDA_ARCH__ >= 900
  asm volatile("red.global.v4.f32.add [%0], {%1, %2, %3, %4};" ::"l"(to), "f"(a), "f"(b), "f"(c), "f"(d) : "memory");
#else
  atomicAdd(to, a), atomicAdd(to + 1, b), atomicAdd(to + 2, c), atomicAdd(to + 3, d);
#endif
}
__device__ inline void add4(double* to, double a, double b, double c, double d) {
  atomicAdd(to, a), atomicAdd(to + 1, b), atomicAdd(to + 2, c), atomicAdd(to + 3, d);
}

constexpr int kSums = 12;  // scalars an ellipsoid gathers: PairGradient, density, two unused

// From gradients to hits to sums over ellipsoids, and to the ray.
template <class T, int kSize>
__device__ void spread(const voge_scene& s, const Team<kSize>& team, const RayMemory<T>& m, const LocalRay<T>& ray,
                       int count, int64_t index, T* sums, T* g_origins, T* g_directions) {
  Vec3<T> g_origin{0, 0, 0}, g_direction{0, 0, 0};
  const T* rows = static_cast<const T*>(s.packed);
  for (int k = team.lane; k < count; k += kSize) {
    const int64_t id = m.id[k];
    const Packed<T> e = load_packed(rows, id);
    const Hit<T> hit = intersect(e.mean, e.whitening, ray.origin, ray.direction);
    const T g_exponent = m.g_mass[k] * m.mass[k];
    const PairGradient<T> g = pair_gradient(hit, m.width[k], m.g_depth[k], g_exponent, m.g_width[k]);
    T* to = sums + kSums * id;
    add4(to, g.mean.x, g.mean.y, g.mean.z, g.xx);
    add4(to + 4, g.yy, g.zz, g.yz, g.xz);
    add4(to + 8, g.xy, m.g_mass[k] * m.peak[k], T(0), T(0));
    if (g_origins != nullptr)
      ray_gradient(hit, e.whitening, hit.depth + ray.shift, m.width[k], m.g_depth[k], g_exponent, m.g_width[k], g_origin,
                   g_direction);
  }
  if (g_origins == nullptr) return;
  const T parts[6] = {g_origin.x, g_origin.y, g_origin.z, g_direction.x, g_direction.y, g_direction.z};
  for (int i = 0; i < 6; ++i) {
    const T total = team.sum(parts[i]);
    if (team.lane == 0) (i < 3 ? g_origins : g_directions)[3 * index + i % 3] = total;
  }
}

template <class T>
struct RenderBackwardJob {
  static constexpr bool kBackward = true;
  const T *g_image, *g_transmittance, *g_depth;
  T *sums, *g_features, *g_origins, *g_directions;

  template <class U, int kSize>
  __device__ bool run(const voge_scene& s, const Team<kSize>& team, const RayMemory<T>& m, int64_t index, int64_t tile) const {
    const LocalRay<T> ray(s, index, tile);
    int count;
    if (!find_hits(s, team, m, ray, false, false, count)) return false;
    if (count > 0) {
      to_weights(s, team, m, ray, index, count);
      weigh_backward(s, team, m, ray, count, static_cast<double>(g_transmittance[index]));
      const T g = g_depth[index];
      for (int k = team.lane; k < count; k += kSize) m.g_depth[k] += g * m.weight[k];
      team.sync();
      to_features(s, team, m, index, count);
    }
    spread(s, team, m, ray, count, index, sums, g_origins, g_directions);
    return true;
  }

  template <int kSize>
  __device__ void to_weights(const voge_scene& s, const Team<kSize>& team, const RayMemory<T>& m, const LocalRay<T>& ray,
                             int64_t index, int count) const {
    const T* features = static_cast<const T*>(s.features);
    const T* g_pixel = g_image + index * s.channels;
    for (int k = team.lane; k < count; k += kSize) m.g_weight[k] = g_depth[index] * (m.depth[k] + ray.shift);
    if (s.channels <= kFewChannels) {
      for (int k = team.lane; k < count; k += kSize)
        for (int64_t c = 0; c < s.channels; ++c) m.g_weight[k] += g_pixel[c] * features[m.id[k] * s.channels + c];
      team.sync();
      return;
    }
    team.sync();
    for (int k = 0; k < count; ++k) {
      T part = 0;
      for (int64_t c = team.lane; c < s.channels; c += kSize) part += g_pixel[c] * features[m.id[k] * s.channels + c];
      part = team.sum(part);
      if (team.lane == 0) m.g_weight[k] += part;
    }
    team.sync();
  }

  template <int kSize>
  __device__ void to_features(const voge_scene& s, const Team<kSize>& team, const RayMemory<T>& m, int64_t index, int count) const {
    const T* g_pixel = g_image + index * s.channels;
    if (s.channels <= kFewChannels) {
      for (int k = team.lane; k < count; k += kSize)
        for (int64_t c = 0; c < s.channels; ++c) atomicAdd(g_features + m.id[k] * s.channels + c, m.weight[k] * g_pixel[c]);
      return;
    }
    for (int k = 0; k < count; ++k)
      for (int64_t c = team.lane; c < s.channels; c += kSize)
        atomicAdd(g_features + m.id[k] * s.channels + c, m.weight[k] * g_pixel[c]);
  }
};

template <class T>
struct TraceJob {
  static constexpr bool kBackward = false;
  const int64_t* offsets;
  int32_t* index_out;
  T *weight, *depth, *transmittance;

  template <class U, int kSize>
  __device__ bool run(const voge_scene& s, const Team<kSize>& team, const RayMemory<T>& m, int64_t index, int64_t tile) const {
    const LocalRay<T> ray(s, index, tile);
    int count;
    if (!find_hits(s, team, m, ray, true, false, count)) return false;
    const double passed = count > 0 ? weigh(s, team, m, ray, count) : 1.0;
    if (team.lane == 0) transmittance[index] = static_cast<T>(passed);
    for (int k = team.lane; k < count; k += kSize) {
      const int64_t entry = offsets[index] + k;
      index_out[entry] = m.id[k], weight[entry] = m.weight[k], depth[entry] = m.depth[k] + ray.shift;
    }
    return true;
  }
};

template <class T>
struct TraceBackwardJob {
  static constexpr bool kBackward = true;
  const int64_t* offsets;
  const T *g_weight, *g_depth, *g_transmittance;
  T *sums, *g_origins, *g_directions;

  template <class U, int kSize>
  __device__ bool run(const voge_scene& s, const Team<kSize>& team, const RayMemory<T>& m, int64_t index, int64_t tile) const {
    const LocalRay<T> ray(s, index, tile);
    int count;
    if (!find_hits(s, team, m, ray, true, false, count)) return false;
    if (count > 0) {
      const int64_t begin = offsets[index];
      for (int k = team.lane; k < count; k += kSize) m.g_weight[k] = g_weight[begin + k];
      team.sync();
      weigh_backward(s, team, m, ray, count, static_cast<double>(g_transmittance[index]));
      for (int k = team.lane; k < count; k += kSize) m.g_depth[k] += g_depth[begin + k];
      team.sync();
    }
    spread(s, team, m, ray, count, index, sums, g_origins, g_directions);
    return true;
  }
};

template <class T>
__global__ void count_kernel(voge_scene s, int64_t* counts, int64_t* truncated) {
  const Grid grid(s);
  const int64_t index = static_cast<int64_t>(blockIdx.x) * kWarps + threadIdx.x / 32;
  if (index >= s.views * s.height * s.width) return;
  const int lane = threadIdx.x % 32;
  const LocalRay<T> ray(s, index, tile_of(s, grid, index));
  const T* rows = static_cast<const T*>(s.packed);
  int found = 0;
  for (int64_t i = ray.begin + lane; i < ray.end; i += 32) {
    const Packed<T> e = load_packed(rows, s.tile_members[i]);
    const Hit<T> hit = intersect(e.mean, e.whitening, ray.origin, ray.direction);
    found += hit.exponent >= e.least && hit.depth > ray.near_distance && hit.depth < ray.far_distance;
  }
  found = __reduce_add_sync(0xffffffffu, found);
  if (lane != 0) return;
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
  const T row[kRow] = {m.x, m.y, m.z, a.r0.x, a.r0.y, a.r0.z, a.r1.x, a.r1.y, a.r1.z, a.r2.x, a.r2.y, a.r2.z,
                       density, static_cast<T>(log(s.eta / static_cast<double>(density))), T(0), T(0)};
  for (int i = 0; i < kRow; ++i) packed[kRow * n + i] = row[i];
}

template <class T>
__global__ void finish_kernel(voge_scene s, const T* sums, T* g_means, T* g_scales, T* g_quats, T* g_density) {
  const int64_t n = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (n >= s.count) return;
  const T* t = sums + kSums * n;
  const PairGradient<T> sum{{t[0], t[1], t[2]}, t[3], t[4], t[5], t[6], t[7], t[8]};
  finish_gradient(static_cast<const T*>(s.scales) + 3 * n, static_cast<const T*>(s.quats) + 4 * n, sum, g_means + 3 * n,
                  g_scales + 3 * n, g_quats + 4 * n);
  g_density[n] = t[9];
}

template <class T>
cudaError_t finish(const voge_scene& s, const void* sums, void* g_means, void* g_scales, void* g_quats, void* g_density) {
  if (s.count > 0)
    finish_kernel<T><<<blocks_for(s.count, 256), 256, 0, stream_of(s)>>>(
        s, static_cast<const T*>(sums), static_cast<T*>(g_means), static_cast<T*>(g_scales), static_cast<T*>(g_quats),
        static_cast<T*>(g_density));
  return cudaSuccess;
}

template <class T>
const T* in(const void* p) { return static_cast<const T*>(p); }
template <class T>
T* out(void* p) { return static_cast<T*>(p); }

}  // namespace
}  // namespace voge

using namespace voge;

int64_t voge_cuda_deep_bytes(const voge_scene* s) {
  if (s->scalar_size == 4) return is_deep<float>(*s) ? kDeepBlocks * RayMemory<float>::bytes(deep_events(*s), s->boxes, true) : 0;
  return is_deep<double>(*s) ? kDeepBlocks * RayMemory<double>::bytes(deep_events(*s), s->boxes, true) : 0;
}

int32_t voge_cuda_pack(const voge_scene* s, void* packed) {
  return launch(s->device, s->scalar_size, [&](auto zero) {
    using T = decltype(zero);
    if (s->count > 0) pack_kernel<T><<<blocks_for(s->count, 256), 256, 0, stream_of(*s)>>>(*s, out<T>(packed));
    return cudaSuccess;
  });
}

int32_t voge_cuda_render(const voge_scene* s, void* image, void* transmittance, void* depth, int32_t* overflow, void* deep) {
  return launch(s->device, s->scalar_size, [&](auto zero) {
    using T = decltype(zero);
    return run_tiers<T>(*s, RenderJob<T>{out<T>(image), out<T>(transmittance), out<T>(depth)}, overflow, deep);
  });
}

int32_t voge_cuda_render_backward(const voge_scene* s, const void* g_image, const void* g_transmittance,
                                  const void* g_depth, void* g_means, void* g_scales, void* g_quats, void* g_density,
                                  void* g_features, void* g_origins, void* g_directions, void* sums, int32_t* overflow,
                                  void* deep) {
  return launch(s->device, s->scalar_size, [&](auto zero) {
    using T = decltype(zero);
    cudaMemsetAsync(sums, 0, s->count * kSums * sizeof(T), stream_of(*s));
    cudaMemsetAsync(g_features, 0, s->count * s->channels * sizeof(T), stream_of(*s));
    const RenderBackwardJob<T> job{in<T>(g_image), in<T>(g_transmittance), in<T>(g_depth), out<T>(sums),
                                   out<T>(g_features), out<T>(g_origins), out<T>(g_directions)};
    const cudaError_t error = run_tiers<T>(*s, job, overflow, deep);
    return error != cudaSuccess ? error : finish<T>(*s, sums, g_means, g_scales, g_quats, g_density);
  });
}

int32_t voge_cuda_trace_counts(const voge_scene* s, int64_t* counts, int64_t* truncated) {
  return launch(s->device, s->scalar_size, [&](auto zero) {
    const int64_t rays = s->views * s->height * s->width;
    if (rays > 0)
      count_kernel<decltype(zero)><<<blocks_for(rays, kWarps), 32 * kWarps, 0, stream_of(*s)>>>(*s, counts, truncated);
    return cudaSuccess;
  });
}

int32_t voge_cuda_trace(const voge_scene* s, const int64_t* offsets, int32_t* index, void* weight, void* depth,
                        void* transmittance, int32_t* overflow, void* deep) {
  return launch(s->device, s->scalar_size, [&](auto zero) {
    using T = decltype(zero);
    return run_tiers<T>(*s, TraceJob<T>{offsets, index, out<T>(weight), out<T>(depth), out<T>(transmittance)}, overflow, deep);
  });
}

int32_t voge_cuda_trace_backward(const voge_scene* s, const int64_t* offsets, const void* g_weight, const void* g_depth,
                                 const void* g_transmittance, void* g_means, void* g_scales, void* g_quats,
                                 void* g_density, void* g_origins, void* g_directions, void* sums, int32_t* overflow,
                                 void* deep) {
  return launch(s->device, s->scalar_size, [&](auto zero) {
    using T = decltype(zero);
    cudaMemsetAsync(sums, 0, s->count * kSums * sizeof(T), stream_of(*s));
    const TraceBackwardJob<T> job{offsets, in<T>(g_weight), in<T>(g_depth), in<T>(g_transmittance), out<T>(sums),
                                  out<T>(g_origins), out<T>(g_directions)};
    const cudaError_t error = run_tiers<T>(*s, job, overflow, deep);
    return error != cudaSuccess ? error : finish<T>(*s, sums, g_means, g_scales, g_quats, g_density);
  });
}

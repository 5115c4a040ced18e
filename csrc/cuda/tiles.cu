// Tile lists on the GPU: count, sum, fill, sort by tile and bound.

#include <cub/cub.cuh>

#include "../bounds.h"
#include "launch.cuh"
#include "team.cuh"

namespace voge {
namespace {

int64_t tile_count(const voge_scene& s) {
  return s.views * ((s.height + s.tile_height - 1) / s.tile_height) * ((s.width + s.tile_width - 1) / s.tile_width);
}

__device__ double warp_sum(double v) {
  for (int step = 16; step > 0; step /= 2) v += __shfl_xor_sync(0xffffffffu, v, step);
  return v;
}
__device__ double warp_max(double v) {
  for (int step = 16; step > 0; step /= 2) v = fmax(v, __shfl_xor_sync(0xffffffffu, v, step));
  return v;
}

__device__ Vec3<double> widened(Vec3<float> v) { return {v.x, v.y, v.z}; }
__device__ Vec3<double> widened(Vec3<double> v) { return v; }

// A warp a tile: the cone that holds its rays.
template <class T>
__global__ void cone_kernel(voge_scene s, int64_t tiles, Cone* cones) {
  const int64_t tile = static_cast<int64_t>(blockIdx.x) * (blockDim.x / 32) + threadIdx.x / 32;
  if (tile >= tiles) return;
  const int lane = threadIdx.x % 32;
  const int64_t columns = (s.width + s.tile_width - 1) / s.tile_width;
  const int64_t per_view = columns * ((s.height + s.tile_height - 1) / s.tile_height);
  const int64_t view = tile / per_view, top = tile % per_view / columns * s.tile_height;
  const int64_t left = tile % columns * s.tile_width;
  const auto each = [&](auto visit) {
    for (int64_t i = lane; i < s.tile_height * s.tile_width; i += 32) {
      const int64_t y = top + i / s.tile_width, x = left + i % s.tile_width;
      if (y < s.height && x < s.width) visit((view * s.height + y) * s.width + x);
    }
  };
  Vec3<double> origin{0, 0, 0}, axis{0, 0, 0};
  double rays = 0, spread2 = 0, cosine = 1, start = -INFINITY;
  each([&](int64_t ray) {
    origin = origin + widened(point_at<T>(s.origins, ray)), axis = axis + widened(point_at<T>(s.directions, ray)), rays += 1;
  });
  rays = warp_sum(rays);
  origin = (1 / rays) * Vec3<double>{warp_sum(origin.x), warp_sum(origin.y), warp_sum(origin.z)};
  axis = {warp_sum(axis.x), warp_sum(axis.y), warp_sum(axis.z)};
  const double length = sqrt(dot(axis, axis));
  axis = length > 0 ? (1 / length) * axis : Vec3<double>{0, 0, 1};
  each([&](int64_t ray) {
    const Vec3<double> o = widened(point_at<T>(s.origins, ray)), d = widened(point_at<T>(s.directions, ray));
    const Vec3<double> offset = o - origin;
    spread2 = fmax(spread2, dot(offset, offset));
    cosine = fmin(cosine, dot(axis, d) / sqrt(dot(d, d)));
    start = fmax(start, dot(o, axis));
  });
  spread2 = warp_max(spread2), cosine = -warp_max(-cosine), start = warp_max(start);
  if (lane == 0) cones[tile] = {origin, axis, sqrt(spread2), acos(fmax(-1.0, cosine)) + 1e-6, start};
}

// Calls visit(tile) for the tiles of ellipsoid `item % count` in view `item / count`.
template <class T, class Visit>
__device__ void visit_tiles(const voge_scene& s, int64_t item, Visit visit) {
  const int64_t view = item / s.count, columns = (s.width + s.tile_width - 1) / s.tile_width;
  const int64_t per_view = columns * ((s.height + s.tile_height - 1) / s.tile_height);
  for_each_tile<T>(s, columns, pixel_map<T>(s, view), item % s.count,
                   [&](int64_t tile) { visit(view * per_view + tile); });
}

// Is ellipsoid n, as a ball, met by the cone?
template <class T>
__device__ bool in_cone(const voge_scene& s, const Cone& cone, int64_t n) {
  const double radius2 = level_radius2(s, scalar_at<T>(s.density, n));
  if (radius2 < 0) return false;
  const Vec3<T> scale = point_at<T>(s.scales, n);
  return meets(cone, widened(point_at<T>(s.means, n)), fmax(scale.x, fmax(scale.y, scale.z)) * sqrt(radius2));
}

using Counter = unsigned long long;

template <class T>
__global__ void count_kernel(voge_scene s, const Cone* cones, int64_t items, int64_t* counts) {
  const int64_t item = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (item >= items) return;
  const auto add = [&](int64_t tile) { atomicAdd(reinterpret_cast<Counter*>(counts + tile), Counter{1}); };
  if (s.viewmats != nullptr) visit_tiles<T>(s, item, add);
  else if (in_cone<T>(s, cones[item / s.count], item % s.count)) add(item / s.count);
}

template <class T>
__global__ void fill_kernel(voge_scene s, const Cone* cones, int64_t items, int64_t* cursors, uint64_t* keys, int32_t* ids) {
  const int64_t item = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (item >= items) return;
  const int64_t n = item % s.count;
  const auto add = [&](int64_t tile) {
    const int64_t place = atomicAdd(reinterpret_cast<Counter*>(cursors + tile), Counter{1});
    const float bound = __double2float_rd(nearest_event<T>(s, cones[tile], n));
    keys[place] = static_cast<uint64_t>(tile) << 32 | ordered(bound);
    ids[place] = static_cast<int32_t>(n);
  };
  if (s.viewmats != nullptr) visit_tiles<T>(s, item, add);
  else if (in_cone<T>(s, cones[item / s.count], n)) add(item / s.count);
}

template <class T>
__global__ void bounds_kernel(int64_t entries, const uint64_t* keys, T* nearest) {
  const int64_t i = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (i < entries) nearest[i] = unordered(static_cast<uint32_t>(keys[i]));
}

int key_bits(int64_t tiles) {
  int bits = 32;
  while (int64_t{1} << (bits - 32) < tiles) ++bits;
  return bits;
}

// With cameras each (view, ellipsoid) visits its tiles; else each (tile, ellipsoid) is tested.
int64_t work_items(const voge_scene& s) { return (s.viewmats != nullptr ? s.views : tile_count(s)) * s.count; }

template <class T>
void make_cones(const voge_scene& s, void* scratch) {
  const int64_t tiles = tile_count(s);
  cone_kernel<T><<<blocks_for(tiles, 8), 256, 0, stream_of(s)>>>(s, tiles, static_cast<Cone*>(scratch));
}

size_t cone_bytes(const voge_scene& s) { return (tile_count(s) * sizeof(Cone) + 255) / 256 * 256; }

}  // namespace
}  // namespace voge

using namespace voge;

int64_t voge_cuda_scratch_bytes(const voge_scene* s, int64_t entries) {
  size_t scan = 0, most = 0, order = 0;
  int64_t* none = nullptr;
  cub::DeviceScan::InclusiveSum(nullptr, scan, none, none, tile_count(*s));
  cub::DeviceReduce::Max(nullptr, most, none, none, tile_count(*s));
  cub::DeviceRadixSort::SortPairs(nullptr, order, static_cast<uint64_t*>(nullptr), static_cast<uint64_t*>(nullptr),
                                  static_cast<int32_t*>(nullptr), static_cast<int32_t*>(nullptr), entries);
  return static_cast<int64_t>(cone_bytes(*s) + (order > scan ? (order > most ? order : most) : (scan > most ? scan : most)));
}

int32_t voge_cuda_tile_offsets(const voge_scene* s, int64_t* offsets, int64_t* longest, void* scratch, int64_t bytes) {
  return launch(s->device, s->scalar_size, [&](auto zero) {
    using T = decltype(zero);
    const int64_t tiles = tile_count(*s), items = work_items(*s);
    const cudaStream_t stream = stream_of(*s);
    cudaMemsetAsync(offsets, 0, (tiles + 1) * sizeof(int64_t), stream);
    make_cones<T>(*s, scratch);
    if (items > 0)
      count_kernel<T><<<blocks_for(items, 256), 256, 0, stream>>>(*s, static_cast<Cone*>(scratch), items, offsets + 1);
    char* const temporary = static_cast<char*>(scratch) + cone_bytes(*s);
    size_t size = bytes - cone_bytes(*s);
    const cudaError_t error = cub::DeviceReduce::Max(temporary, size, offsets + 1, longest, tiles, stream);
    if (error != cudaSuccess) return error;
    size = bytes - cone_bytes(*s);
    return cub::DeviceScan::InclusiveSum(temporary, size, offsets + 1, offsets + 1, tiles, stream);
  });
}

int32_t voge_cuda_tile_members(const voge_scene* s, int64_t entries, int32_t* members, void* nearest, void* keys,
                               void* sorted_keys, int32_t* ids, int64_t* cursors, void* scratch, int64_t bytes) {
  return launch(s->device, s->scalar_size, [&](auto zero) {
    using T = decltype(zero);
    if (entries == 0) return cudaSuccess;
    const int64_t tiles = tile_count(*s), items = work_items(*s);
    const cudaStream_t stream = stream_of(*s);
    make_cones<T>(*s, scratch);
    cudaMemcpyAsync(cursors, s->tile_offsets, tiles * sizeof(int64_t), cudaMemcpyDeviceToDevice, stream);
    fill_kernel<T><<<blocks_for(items, 256), 256, 0, stream>>>(*s, static_cast<Cone*>(scratch), items, cursors,
                                                               static_cast<uint64_t*>(keys), ids);
    size_t size = bytes - cone_bytes(*s);
    const cudaError_t error = cub::DeviceRadixSort::SortPairs(
        static_cast<char*>(scratch) + cone_bytes(*s), size, static_cast<const uint64_t*>(keys),
        static_cast<uint64_t*>(sorted_keys), ids, members, entries, 0, key_bits(tiles), stream);
    if (error != cudaSuccess) return error;
    bounds_kernel<T><<<blocks_for(entries, 256), 256, 0, stream>>>(entries, static_cast<const uint64_t*>(sorted_keys),
                                                                   static_cast<T*>(nearest));
    return cudaSuccess;
  });
}

// Tile lists on the GPU: count, sum, fill, sort by tile and depth, bound.

#include <cub/cub.cuh>

#include "../bounds.h"
#include "launch.cuh"
#include "order.cuh"

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

// The box of all centers that are seen, as ordered numbers: least of each coordinate, then greatest.
struct Extent {
  uint32_t bound[6];
};

// A warp a tile: the cone that holds its rays. Also clears what the count adds to, the tiles' offsets and the extent.
template <class T>
__global__ void cone_kernel(voge_scene s, int64_t tiles, Cone* cones, int64_t* offsets, Extent* extent) {
  const int64_t tile = static_cast<int64_t>(blockIdx.x) * (blockDim.x / 32) + threadIdx.x / 32;
  if (tile >= tiles) return;
  const int lane = threadIdx.x % 32;
  if (lane == 0) offsets[tile + 1] = 0;
  if (tile == 0 && lane == 0) offsets[0] = 0;
  if (tile == 0 && lane < 6) extent->bound[lane] = lane < 3 ? 0xffffffffu : 0;
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
    origin = origin + widened(point_at<T>(s.origins, ray)), axis = axis + widened(point_at<T>(s.directions, ray)),
    rays += 1;
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

// Is ellipsoid n, as a ball, met by the cone?
template <class T>
__device__ bool in_cone(const voge_scene& s, const Cone& cone, int64_t n) {
  const double radius2 = level_radius2(s, scalar_at<T>(s.density, n));
  if (radius2 < 0) return false;
  const Vec3<T> scale = point_at<T>(s.scales, n);
  return meets(cone, widened(point_at<T>(s.means, n)), fmax(scale.x, fmax(scale.y, scale.z)) * sqrt(radius2));
}

// Calls visit(tile) for the tiles of a work item: with cameras ellipsoid item % count in view item / count; else an
// ellipsoid, tested against the cone of every tile.
template <class T, class Visit>
__device__ void visit_tiles(const voge_scene& s, const Cone* cones, int64_t item, Visit visit) {
  const int64_t columns = (s.width + s.tile_width - 1) / s.tile_width;
  const int64_t per_view = columns * ((s.height + s.tile_height - 1) / s.tile_height);
  if (s.viewmats == nullptr) {
    for (int64_t tile = 0; tile < per_view * s.views; ++tile)
      if (in_cone<T>(s, cones[tile], item)) visit(tile);
    return;
  }
  const int64_t view = item / s.count;
  for_each_tile<T>(s, columns, pixel_map<T>(s, view), item % s.count,
                   [&](int64_t tile) { visit(view * per_view + tile); });
}
int64_t item_count(const voge_scene& s) { return (s.viewmats != nullptr ? s.views : 1) * s.count; }

template <class T>
__global__ void count_kernel(const __grid_constant__ voge_scene s, const Cone* cones, int64_t items, int64_t* of_items,
                             int64_t* of_tiles, Extent* extent) {
  const int64_t item = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  int64_t count = 0;
  if (item < items) {
    visit_tiles<T>(s, cones, item, [&](int64_t tile) {
      ++count, atomicAdd(reinterpret_cast<unsigned long long*>(of_tiles + tile), 1ull);
    });
    of_items[item] = count;
  }
  __shared__ uint32_t box[6];
  if (threadIdx.x < 6) box[threadIdx.x] = threadIdx.x < 3 ? 0xffffffffu : 0;
  __syncthreads();
  const Vec3<T> m = count > 0 ? point_at<T>(s.means, item % s.count) : Vec3<T>{0, 0, 0};
  const T parts[3] = {m.x, m.y, m.z};
  for (int i = 0; i < 3; ++i) {
    const uint32_t at = ordered(static_cast<float>(parts[i]));
    const uint32_t least = __reduce_min_sync(0xffffffffu, count > 0 ? at : 0xffffffffu),
                   most = __reduce_max_sync(0xffffffffu, count > 0 ? at : 0);
    if (threadIdx.x % 32 == 0) atomicMin(box + i, least), atomicMax(box + 3 + i, most);
  }
  __syncthreads();
  if (threadIdx.x < 3) atomicMin(extent->bound + threadIdx.x, box[threadIdx.x]);
  else if (threadIdx.x < 6) atomicMax(extent->bound + threadIdx.x, box[threadIdx.x]);
}

// Entries item by item: the tile in the high bits, below it how far along the tile's axis the center lies, as finely as
// the bits allow. The order within a tile need only be nearly right; equal keys stay in the items' order.
template <class T>
__global__ void fill_kernel(const __grid_constant__ voge_scene s, const Cone* cones, int64_t items, const int64_t* ends,
                            const Extent* extent, int depth_bits, int64_t entries, uint32_t* keys, int32_t* ids) {
  const int64_t item = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (item >= items) return;
  // Of places that the caller has set aside some may be left: last in order, and no ellipsoid.
  for (int64_t i = ends[items - 1] + item; i < entries; i += items) keys[i] = 0xffffffffu, ids[i] = 0;
  int64_t place = item > 0 ? ends[item - 1] : 0;
  if (place == ends[item]) return;
  const int64_t n = item % s.count;
  Vec3<double> middle, half;
  double *const c = &middle.x, *const h = &half.x;
  for (int i = 0; i < 3; ++i) {
    const double low = unordered(extent->bound[i]), high = unordered(extent->bound[3 + i]);
    c[i] = 0.5 * (low + high), h[i] = 0.5 * (high - low);
  }
  const double reach = sqrt(dot(half, half)) + 1e-30;
  const Vec3<double> offset = widened(point_at<T>(s.means, n)) - middle;
  visit_tiles<T>(s, cones, item, [&](int64_t tile) {
    const double along = 0.5 + 0.5 * dot(offset, cones[tile].axis) / reach;
    const double steps = static_cast<double>((uint64_t{1} << depth_bits) - 1);
    const uint64_t depth = static_cast<uint64_t>(fmin(fmax(along, 0.0), 1.0) * steps);
    if (place < entries)
      keys[place] = static_cast<uint32_t>(static_cast<uint64_t>(tile) << depth_bits | depth),
      ids[place] = static_cast<int32_t>(n);
    ++place;
  });
}

// A warp a tile: no event of a member or of a later one is nearer than `nearest`, none of it or of an earlier one
// farther than `farthest`.
template <class T>
__global__ void bounds_kernel(const __grid_constant__ voge_scene s, int64_t tiles, const Cone* cones,
                              const int32_t* members, T* nearest, T* farthest) {
  const int64_t tile = static_cast<int64_t>(blockIdx.x) * (blockDim.x / 32) + threadIdx.x / 32;
  if (tile >= tiles) return;
  const int lane = threadIdx.x % 32;
  const int64_t begin = s.tile_offsets[tile], end = s.tile_offsets[tile + 1];
  float most = -INFINITY, least = INFINITY;
  for (int64_t base = begin; base < end; base += 32) {
    const int64_t i = base + lane;
    float high = -INFINITY;
    if (i < end) {
      double near_event, far_event;
      event_range<T>(s, cones[tile], members[i], near_event, far_event);
      nearest[i] = static_cast<T>(__double2float_rd(near_event)), high = __double2float_ru(far_event);
    }
    for (int step = 1; step < 32; step *= 2) {
      const float other = __shfl_up_sync(0xffffffffu, high, step);
      if (lane >= step) high = fmaxf(high, other);
    }
    high = fmaxf(high, most), most = __shfl_sync(0xffffffffu, high, 31);
    if (i < end) farthest[i] = high;
  }
  for (int64_t base = (end - begin - 1) / 32 * 32 + begin; base >= begin; base -= 32) {
    const int64_t i = base + lane;
    float low = i < end ? static_cast<float>(nearest[i]) : INFINITY;
    for (int step = 1; step < 32; step *= 2) {
      const float other = __shfl_down_sync(0xffffffffu, low, step);
      if (lane + step < 32) low = fminf(low, other);
    }
    low = fminf(low, least), least = __shfl_sync(0xffffffffu, low, 0);
    if (i < end) nearest[i] = low;
  }
}

int tile_bits(int64_t tiles) {
  int bits = 1;
  while (int64_t{1} << bits < tiles) ++bits;
  return bits;
}

// Parts of one allocation.
struct Parts {
  char* base;
  size_t bytes = 0;
  template <class T>
  T* take(size_t count) {
    T* const at = reinterpret_cast<T*>(base + bytes);
    bytes += (count * sizeof(T) + 255) / 256 * 256;
    return at;
  }
};

// What the first step leaves to the second.
struct Counted {
  Parts parts;
  Cone* cones;
  Extent* extent;
  int64_t* ends;  // entries up to each item
  void* temporary;
  size_t temporary_bytes = 0;

  Counted(const voge_scene& s, void* memory) : parts{static_cast<char*>(memory)} {
    const int64_t tiles = tile_count(s), items = item_count(s);
    cones = parts.take<Cone>(tiles), extent = parts.take<Extent>(1), ends = parts.take<int64_t>(items);
    size_t needs[3] = {0, 0, 0};
    int64_t* none = nullptr;
    cub::DeviceScan::InclusiveSum(nullptr, needs[0], none, none, tiles);
    cub::DeviceReduce::Max(nullptr, needs[1], none, none, tiles);
    cub::DeviceScan::InclusiveSum(nullptr, needs[2], none, none, items);
    for (const size_t need : needs) temporary_bytes = need > temporary_bytes ? need : temporary_bytes;
    temporary = parts.take<char>(temporary_bytes);
  }
};

struct Sorting {
  Parts parts;
  uint32_t *keys, *sorted_keys;
  int32_t* ids;
  void* temporary;
  size_t temporary_bytes = 0;

  Sorting(int64_t entries, void* memory) : parts{static_cast<char*>(memory)} {
    keys = parts.take<uint32_t>(entries), sorted_keys = parts.take<uint32_t>(entries),
    ids = parts.take<int32_t>(entries);
    cub::DeviceRadixSort::SortPairs(nullptr, temporary_bytes, keys, sorted_keys, ids, ids, entries);
    temporary = parts.take<char>(temporary_bytes);
  }
};

}  // namespace
}  // namespace voge

using namespace voge;

int64_t voge_cuda_count_bytes(const voge_scene* s) { return static_cast<int64_t>(Counted(*s, nullptr).parts.bytes); }
int64_t voge_cuda_sort_bytes(int64_t entries) { return static_cast<int64_t>(Sorting(entries, nullptr).parts.bytes); }

int32_t voge_cuda_tile_offsets(const voge_scene* s, int64_t* offsets, int64_t* longest, void* memory) {
  return launch(s->device, s->scalar_size, [&](auto zero) {
    using T = decltype(zero);
    Counted scratch(*s, memory);
    const int64_t tiles = tile_count(*s), items = item_count(*s);
    const cudaStream_t stream = stream_of(*s);
    cone_kernel<T><<<blocks_for(tiles, 8), 256, 0, stream>>>(*s, tiles, scratch.cones, offsets, scratch.extent);
    if (items > 0)
      count_kernel<T><<<blocks_for(items, 256), 256, 0, stream>>>(*s, scratch.cones, items, scratch.ends, offsets + 1,
                                                                  scratch.extent);
    cudaError_t error =
        cub::DeviceReduce::Max(scratch.temporary, scratch.temporary_bytes, offsets + 1, longest, tiles, stream);
    if (error == cudaSuccess)
      error = cub::DeviceScan::InclusiveSum(scratch.temporary, scratch.temporary_bytes, offsets + 1, offsets + 1, tiles,
                                            stream);
    return error;
  });
}

int32_t voge_cuda_tile_members(const voge_scene* s, int64_t entries, int32_t* members, void* nearest, void* farthest,
                               void* counted, void* memory) {
  return launch(s->device, s->scalar_size, [&](auto zero) {
    using T = decltype(zero);
    if (entries == 0 || s->count == 0) return cudaSuccess;
    Counted found(*s, counted);
    Sorting scratch(entries, memory);
    const int64_t tiles = tile_count(*s), items = item_count(*s);
    const cudaStream_t stream = stream_of(*s);
    const int bits = tile_bits(tiles), all_bits = bits <= 10 ? 24 : 32;  // a pass of the sort less where it can be
    cudaError_t error =
        cub::DeviceScan::InclusiveSum(found.temporary, found.temporary_bytes, found.ends, found.ends, items, stream);
    if (error != cudaSuccess) return error;
    fill_kernel<T><<<blocks_for(items, 128), 128, 0, stream>>>(*s, found.cones, items, found.ends, found.extent,
                                                               all_bits - bits, entries, scratch.keys, scratch.ids);
    error = cub::DeviceRadixSort::SortPairs(scratch.temporary, scratch.temporary_bytes, scratch.keys,
                                            scratch.sorted_keys, scratch.ids, members, entries, 0, all_bits, stream);
    if (error != cudaSuccess) return error;
    bounds_kernel<T><<<blocks_for(tiles, 8), 256, 0, stream>>>(*s, tiles, found.cones, members,
                                                               static_cast<T*>(nearest), static_cast<T*>(farthest));
    return cudaSuccess;
  });
}

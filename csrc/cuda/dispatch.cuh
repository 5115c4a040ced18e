// Kernels that walk all rays of a scene, and which of them a scene takes.
#pragma once

#include "launch.cuh"
#include "walk.cuh"

namespace voge {

// Rays that a kernel leaves to the next one.
struct Overflow {
  int32_t *count, *rays;
  VOGE_DEVICE void add(int64_t ray) const { rays[atomicAdd(count, 1)] = static_cast<int32_t>(ray); }
};

constexpr int kFewBoxes = 2;         // as many as Walk is compiled for
constexpr int kSlots = 15;           // hits at work on one of its rays: fewer leave room for more warps
constexpr int64_t kFewRays = 40000;  // up to here they keep a GPU busy only with a warp for each

// Events of a hit.
__host__ __device__ inline int streams_of(const voge_scene& s) { return s.aggregation == VOGE_EXACT ? 2 * s.boxes : 1; }

// 32 rays of a tile, a block.
template <class Job, int kBoxes, bool kExact>
__global__ void __launch_bounds__(32)
    tile_kernel(const __grid_constant__ voge_scene s, const __grid_constant__ typename Job::Arguments arguments,
                Overflow later, int parts) {
  extern __shared__ __align__(16) char shared[];
  const Grid grid(s);
  const int lane = threadIdx.x;
  const int64_t tile = blockIdx.x / parts, view = tile / grid.per_view, within = tile % grid.per_view;
  const int64_t top = within / grid.columns * s.tile_height, left = within % grid.columns * s.tile_width;
  const int64_t i = blockIdx.x % parts * 32 + lane;
  const int64_t y = top + i / s.tile_width, x = left + i % s.tile_width;
  const bool valid = i < s.tile_height * s.tile_width && y < s.height && x < s.width;
  const int64_t index = (view * s.height + (valid ? y : top)) * s.width + (valid ? x : left);
  const LocalRay<float> ray(s, index, tile);
  const Beam beam(ray, valid, min(s.tile_width, 32) - 1);
  using Lists = WarpLists<Job::kColors>;
  const Lists lists(s, ray, beam, shared, lane);
  using TileRing = Ring<kBoxes, kSlots, kExact, Job::kBackward>;
  constexpr size_t kHits = Lists::kBytes, kSpare = kHits + TileRing::bytes();
  Job job(s, arguments, index, valid, reinterpret_cast<float*>(shared + kSpare));
  Walk<TileRing, Lists, Job> walk(s, ray, lists, job, shared + kHits, valid);
  walk.run();
  if (walk.overflows) later.add(index);
}

// The listed rays, or all of them (no list), in turns; each block with its part of `deep` memory, or shared memory.
// (Two kernels, since memory that may be either is slower.)
template <class T, class Job, bool kGlobal>
__global__ void __launch_bounds__(32)
    ray_kernel(const __grid_constant__ voge_scene s, const __grid_constant__ typename Job::Arguments arguments,
               Overflow listed, Overflow later, char* deep, int capacity) {
  extern __shared__ __align__(16) char shared[];
  const Grid grid(s);
  char* memory = shared;
  if constexpr (kGlobal) memory = deep + blockIdx.x * Roll<T, true>::bytes(capacity, Job::kBackward, streams_of(s));
  const int64_t count = listed.rays != nullptr ? *listed.count : s.views * s.height * s.width;
  for (int64_t i = blockIdx.x; i < count; i += gridDim.x) {
    const int64_t index = listed.rays != nullptr ? listed.rays[i] : i;
    const LocalRay<T> ray(s, index, grid.tile_of(s, index));
    Job job(s, arguments, index, true, nullptr);
    __syncwarp();
    bool fits;
    if (s.aggregation == VOGE_EXACT) fits = WarpWalk<T, true, Job>(s, ray, job, memory, capacity).run();
    else fits = WarpWalk<T, false, Job>(s, ray, job, memory, capacity).run();
    if (!fits && threadIdx.x == 0) later.add(index);
    __syncwarp();
  }
}

// What a warp has for one ray: events in shared memory, few that many warps fit or more, or those of the longest list
// in global memory for as many rays at once as 32 MiB and 32 bytes a ray of the image hold.
enum Size { kSmall, kLarge, kDeep };

template <class T, class Job>
struct Room {
  static constexpr int64_t kWarps = 16, kShared = 227 * 1024;  // a processor's, at most
  int capacity, blocks;
  bool last;  // no ray needs more
  size_t shared;

  Room(const voge_scene& s, Size size) {
    const int64_t rays = s.views * s.height * s.width, longest = s.longest_list > 0 ? s.longest_list : 1;
    int processors = 1;
    cudaDeviceGetAttribute(&processors, cudaDevAttrMultiProcessorCount, s.device);
    const int64_t events = (size == kSmall ? 512 : 4096) / static_cast<int>(sizeof(T) / 4),
                  hits = events / (s.aggregation == VOGE_EXACT ? 2 * s.boxes : 4);
    last = size == kDeep || longest <= hits;
    capacity = static_cast<int>(last ? longest : hits);
    shared = size == kDeep ? 0 : bytes(s);
    const int64_t fit = kShared / static_cast<int64_t>(shared + 1024);
    int64_t most = processors * (fit < 1 ? 1 : fit < kWarps ? fit : kWarps);  // no more than are at work at once
    if (size == kDeep) {
      const int64_t budget = ((int64_t{32} << 20) + 32 * rays) / static_cast<int64_t>(bytes(s));
      most = budget < 1 ? 1 : (budget < most ? budget : most);
    }
    blocks = static_cast<int>(rays < most ? rays : most);
  }
  size_t bytes(const voge_scene& s) const { return Roll<T, true>::bytes(capacity, Job::kBackward, streams_of(s)); }
};

// Fragments, limits and pairs need all hits of a ray at once, and some settings no kernel has been compiled for; with
// few rays a warp for each is faster.
template <class T, class Job>
bool side_by_side(const voge_scene& s) {
  const bool compiled = sizeof(T) == 4 && (s.boxes <= kFewBoxes || s.aggregation != VOGE_EXACT);
  const bool many = s.views * s.height * s.width > kFewRays;
  return compiled && many && !Job::kRows && s.aggregation != VOGE_PAPER && s.limit == 0;
}

template <class Job, int kBoxes, bool kExact>
cudaError_t walk_tiles(const voge_scene& s, const typename Job::Arguments& arguments, Overflow later) {
  const int parts = (s.tile_height * s.tile_width + 31) / 32;
  const size_t bytes = WarpLists<Job::kColors>::kBytes + Ring<kBoxes, kSlots, kExact, Job::kBackward>::bytes() +
                       Job::spare_size(s) * sizeof(float);
  const auto kernel = tile_kernel<Job, kBoxes, kExact>;
  const cudaError_t error =
      cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(bytes));
  if (error == cudaSuccess)
    kernel<<<static_cast<unsigned>(Grid(s).total * parts), 32, bytes, stream_of(s)>>>(s, arguments, later, parts);
  return error;
}

// `overflow` has room for four counts and two lists of all rays, which kernels fill in turns.
template <class T, template <class> class JobOf>
cudaError_t walk_rays(const voge_scene& s, const typename JobOf<T>::Arguments& arguments, int32_t* overflow,
                      void* deep) {
  using Job = JobOf<T>;
  const int64_t rays = s.views * s.height * s.width;
  if (rays == 0) return cudaSuccess;
  const bool tiles = side_by_side<T, Job>(s);
  cudaMemsetAsync(overflow, 0, 4 * sizeof(int32_t), stream_of(s));
  Overflow listed{nullptr, nullptr}, later{overflow, overflow + 4};
  cudaError_t error = cudaSuccess;
  if constexpr (sizeof(T) == 4 && !Job::kRows) {
    if (tiles)
      error = s.aggregation != VOGE_EXACT ? walk_tiles<Job, 1, false>(s, arguments, later)
              : s.boxes == 1              ? walk_tiles<Job, 1, true>(s, arguments, later)
                                          : walk_tiles<Job, 2, true>(s, arguments, later);
    if (error != cudaSuccess || (tiles && s.longest_list <= kSlots)) return error;
    if (tiles) listed = later, later = {overflow + 1, overflow + 4 + rays};
  }
  for (const Size size : {kSmall, kLarge, kDeep}) {
    const Room<T, Job> room(s, size);
    const auto kernel = size == kDeep ? ray_kernel<T, Job, true> : ray_kernel<T, Job, false>;
    error = cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(room.shared));
    if (error != cudaSuccess) return error;
    kernel<<<room.blocks, 32, room.shared, stream_of(s)>>>(s, arguments, listed, later, static_cast<char*>(deep),
                                                           room.capacity);
    if (room.last) break;
    const Overflow next{later.count + 1, later.rays == overflow + 4 ? overflow + 4 + rays : overflow + 4};
    listed = later, later = next;
  }
  return cudaSuccess;
}

template <class T, class Job>
int64_t deep_bytes(const voge_scene& s) {
  const Room<T, Job> room(s, kDeep);
  return Room<T, Job>(s, kLarge).last ? 0 : static_cast<int64_t>(room.bytes(s)) * room.blocks;
}

}  // namespace voge

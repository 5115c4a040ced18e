// The C interface of the compiled renderers. voge/rendering/native.py mirrors it with ctypes.
//
// No framework, no Python: raw pointers to contiguous arrays, sizes, and error codes. The caller
// allocates every output. VOGE_ABI_VERSION changes with any change of this file.
#pragma once

#include <stdint.h>

#define VOGE_ABI_VERSION 4

#define VOGE_API __attribute__((visibility("default")))

#ifdef __cplusplus
extern "C" {
#endif

enum voge_aggregation { VOGE_EXACT = 0, VOGE_PAPER = 1, VOGE_SORTED = 2 };
enum voge_error { VOGE_OK = 0, VOGE_OUT_OF_MEMORY = 1, VOGE_FAILED = 2 };

// Everything that the renderers read. Floating arrays are float (scalar_size 4) or double (8).
typedef struct voge_scene {
  int32_t scalar_size;
  int32_t aggregation;  // voge_aggregation
  int32_t boxes;        // nested boxes of `exact`
  int32_t limit;        // nearest ellipsoids kept a ray, 0 for all
  int64_t count;        // N ellipsoids
  int64_t channels;     // C features
  int64_t views, height, width;      // V x H x W rays
  int32_t tile_height, tile_width;   // rays
  int32_t orthographic;              // camera model of viewmats and intrinsics
  int32_t padding;
  double eta, near_distance, far_distance, stop_transmittance;
  const void* means;       // (N, 3)
  const void* scales;      // (N, 3)
  const void* quats;       // (N, 4)
  const void* density;     // (N)
  const void* features;    // (N, C)
  const void* origins;     // (V, H, W, 3)
  const void* directions;  // (V, H, W, 3)
  const void* viewmats;    // (V, 4, 4), or null: tiles are bounded by cones around their rays
  const void* intrinsics;  // (V, 3, 3), or null
  const int64_t* tile_offsets;  // (V * tiles + 1) rows of tile_members
  const int32_t* tile_members;  // ellipsoids of each tile, nearest bound first
  const void* tile_nearest;     // for each member: no event of it comes earlier on any ray of the tile
  // CUDA only
  const void* packed;           // (N, 16) as voge_cuda_pack leaves them
  void* stream;
  int32_t device;
  int32_t longest_list;         // members of the longest tile list
  const void* tile_farthest;    // for each member: no event of it, or of one before it, comes later on any ray
  const void* transmittance;    // (V, H, W) of the forward pass, for the backward pass of pictures
} voge_scene;

VOGE_API int32_t voge_abi_version(void);

typedef void (*voge_body)(int64_t begin, int64_t end, void* context);
typedef int32_t (*voge_parallel_for)(int64_t begin, int64_t end, int64_t grain, voge_body body, void* context);
// Run on somebody else's threads (torch's pool); null goes back to our own.
VOGE_API void voge_set_parallel_for(voge_parallel_for parallel_for);
VOGE_API void voge_set_threads(int32_t threads);

// Tile lists in two steps, since the caller allocates: offsets (V * tiles + 1) first, then members
// and their bounds (as many as the last offset), sorted within each tile.
VOGE_API int32_t voge_tile_offsets(const voge_scene* scene, int64_t* offsets);
VOGE_API int32_t voge_tile_members(const voge_scene* scene, int32_t* members, void* nearest);

// Pictures without any table of hits: image (P, C), transmittance (P), depth (P), for P rays.
VOGE_API int32_t voge_render(const voge_scene* scene, void* image, void* transmittance, void* depth);
// Gradients; those to the rays may be null, and g_transmittance and g_depth where they are zero. Bitwise the same for
// any number of threads.
VOGE_API int32_t voge_render_backward(const voge_scene* scene, const void* g_image, const void* g_transmittance,
                                      const void* g_depth, void* g_means, void* g_scales, void* g_quats,
                                      void* g_density, void* g_features, void* g_origins, void* g_directions);

// Fragments in two steps: entries a ray (P) and entries left out by the limit (P), then the entries.
VOGE_API int32_t voge_trace_counts(const voge_scene* scene, int64_t* counts, int64_t* truncated);
VOGE_API int32_t voge_trace(const voge_scene* scene, const int64_t* offsets, int32_t* index, void* weight, void* depth,
                            void* transmittance);
VOGE_API int32_t voge_trace_backward(const voge_scene* scene, const int64_t* offsets, const void* g_weight,
                                     const void* g_depth, const void* g_transmittance, void* g_means, void* g_scales,
                                     void* g_quats, void* g_density, void* g_origins, void* g_directions);

// W A: out (P, C) from attributes (N, C). W^T I: out (N, C) from an image (P, C). And dL/dW of W A.
VOGE_API int32_t voge_gather(int32_t scalar_size, int64_t rays, int64_t channels, const int64_t* offsets,
                             const int32_t* index, const void* weight, const void* attributes, void* out);
VOGE_API int32_t voge_scatter(int32_t scalar_size, int64_t rays, int64_t channels, int64_t count,
                              const int64_t* offsets, const int32_t* index, const void* weight, const void* image,
                              void* out);
VOGE_API int32_t voge_dot_rows(int32_t scalar_size, int64_t rays, int64_t channels, const int64_t* offsets,
                               const int32_t* index, const void* attributes, const void* image, void* out);

// ---- CUDA: the same operators in voge_cuda; all pointers are to memory of scene->device, all work goes to
// scene->stream. Error codes above 100 are 100 + cudaError_t.

// Runs a small kernel, so that a missing driver or architecture is known, with its reason, before use.
VOGE_API int32_t voge_cuda_probe(int32_t device);
VOGE_API const char* voge_cuda_error(int32_t code);

// Tile lists in two steps, since the caller allocates. First offsets (V * tiles + 1) and the longest list (1), with
// voge_cuda_count_bytes of memory, which the second step reads; then members and bounds, as many as the last offset,
// with voge_cuda_sort_bytes of memory.
VOGE_API int64_t voge_cuda_count_bytes(const voge_scene* scene);
VOGE_API int64_t voge_cuda_sort_bytes(int64_t entries);
VOGE_API int32_t voge_cuda_tile_offsets(const voge_scene* scene, int64_t* offsets, int64_t* longest, void* counted);
VOGE_API int32_t voge_cuda_tile_members(const voge_scene* scene, int64_t entries, int32_t* members, void* nearest,
                                        void* farthest, void* counted, void* memory);
VOGE_API int32_t voge_cuda_pack(const voge_scene* scene, void* packed);

// Where gradients are gathered: `plain` (N, 16), or for sums that are bitwise repeatable `largest` and `multiples`,
// each of N * 16 + N * C 64-bit numbers.
typedef struct voge_cuda_sums {
  void *plain, *largest, *multiples;
} voge_cuda_sums;

// Rays that have more hits at work at once than a kernel holds are listed in `overflow`, 4 + 2 P numbers, for the next
// one; the last has `deep` memory of voge_cuda_deep_bytes.
VOGE_API int64_t voge_cuda_deep_bytes(const voge_scene* scene, int32_t backward);
VOGE_API int32_t voge_cuda_render(const voge_scene* scene, void* image, void* transmittance, void* depth,
                                  int32_t* overflow, void* deep);
VOGE_API int32_t voge_cuda_render_backward(const voge_scene* scene, const void* g_image, const void* g_transmittance,
                                           const void* g_depth, void* g_means, void* g_scales, void* g_quats,
                                           void* g_density, void* g_features, void* g_origins, void* g_directions,
                                           const voge_cuda_sums* sums, int32_t* overflow, void* deep);
VOGE_API int32_t voge_cuda_trace_counts(const voge_scene* scene, int64_t* counts, int64_t* truncated);
VOGE_API int32_t voge_cuda_trace(const voge_scene* scene, const int64_t* offsets, int32_t* index, void* weight,
                                 void* depth, void* transmittance, int32_t* overflow, void* deep);
VOGE_API int32_t voge_cuda_trace_backward(const voge_scene* scene, const int64_t* offsets, const int32_t* index,
                                          const void* g_weight, const void* g_depth, const void* g_transmittance,
                                          void* g_means, void* g_scales, void* g_quats, void* g_density,
                                          void* g_origins, void* g_directions, const voge_cuda_sums* sums,
                                          int32_t* overflow, void* deep);
// Rays (V, H, W, 3) of pinhole or orthographic cameras, and the way back, with room for voge_cuda_rays_partials
// doubles.
VOGE_API int32_t voge_cuda_rays(int32_t device, void* stream, int32_t scalar_size, int64_t views, int64_t height,
                                int64_t width, int32_t orthographic, const void* viewmats, const void* intrinsics,
                                void* origins, void* directions);
VOGE_API int64_t voge_cuda_rays_partials(int64_t views, int64_t height, int64_t width);
VOGE_API int32_t voge_cuda_rays_backward(int32_t device, void* stream, int32_t scalar_size, int64_t views,
                                         int64_t height, int64_t width, int32_t orthographic, const void* viewmats,
                                         const void* intrinsics, const void* g_origins, const void* g_directions,
                                         void* g_viewmats, void* g_intrinsics, double* partials);
VOGE_API int32_t voge_cuda_gather(int32_t device, void* stream, int32_t scalar_size, int64_t rays, int64_t channels,
                                  const int64_t* offsets, const int32_t* index, const void* weight,
                                  const void* attributes, void* out);
VOGE_API int32_t voge_cuda_scatter(int32_t device, void* stream, int32_t scalar_size, int64_t rays, int64_t channels,
                                   int64_t count, const int64_t* offsets, const int32_t* index, const void* weight,
                                   const void* image, void* out);
VOGE_API int32_t voge_cuda_dot_rows(int32_t device, void* stream, int32_t scalar_size, int64_t rays, int64_t channels,
                                    const int64_t* offsets, const int32_t* index, const void* attributes,
                                    const void* image, void* out);

#ifdef __cplusplus
}
#endif

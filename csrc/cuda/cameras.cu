// Rays of pinhole and orthographic cameras and their gradients on the GPU: `Cameras.rays` in one launch.

#include "../bounds.h"
#include "launch.cuh"

namespace voge {
namespace {

// One view: rotation rows, translation, and K^-1 of a pixel.
template <class T>
struct View {
  Mat3<T> rotation;
  Vec3<T> translation;
  T fx, skew, cx, fy, cy;

  __device__ View(const T* viewmats, const T* intrinsics, int64_t view) {
    const T *m = viewmats + 16 * view, *k = intrinsics + 9 * view;
    rotation = {{m[0], m[1], m[2]}, {m[4], m[5], m[6]}, {m[8], m[9], m[10]}};
    translation = {m[3], m[7], m[11]};
    fx = k[0], skew = k[1], cx = k[2], fy = k[4], cy = k[5];
  }
  __device__ void plane(int64_t column, int64_t row, T& x, T& y) const {
    y = (static_cast<T>(row) + T(0.5) - cy) / fy;
    x = (static_cast<T>(column) + T(0.5) - cx - skew * y) / fx;
  }
  __device__ Vec3<T> center() const { return T(-1) * transposed_times(rotation, translation); }
};

template <class T>
__device__ void store(T* array, int64_t row, Vec3<T> v) {
  T* const p = array + 3 * row;
  p[0] = v.x, p[1] = v.y, p[2] = v.z;
}

template <class T>
__global__ void rays_kernel(int64_t views, int64_t height, int64_t width, bool orthographic, const T* viewmats,
                            const T* intrinsics, T* origins, T* directions) {
  const int64_t i = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (i >= views * height * width) return;
  const View<T> view(viewmats, intrinsics, i / (height * width));
  T x, y;
  view.plane(i % width, i / width % height, x, y);
  const Vec3<T> across = x * view.rotation.r0 + y * view.rotation.r1, ahead = view.rotation.r2;
  if (orthographic) {
    store(origins, i, view.center() + across), store(directions, i, ahead);
  } else {
    const Vec3<T> along = across + ahead;
    store(origins, i, view.center()), store(directions, i, (1 / sqrt(dot(along, along))) * along);
  }
}

constexpr int kParts = 17;       // dL/dorigin, dL/drotation by rows, dL/d(fx, skew, cx, fy, cy)
constexpr int kPixels = 8;       // pixels a thread adds up
constexpr int kThreads = 256;

template <class T>
__device__ void add_pixel(const View<T>& view, bool orthographic, int64_t column, int64_t row, Vec3<T> g_origin,
                          Vec3<T> g_direction, T* sums) {
  T x, y;
  view.plane(column, row, x, y);
  const Mat3<T>& r = view.rotation;
  Vec3<T> g_camera, at;  // to the point of the plane in the camera's frame, and what it multiplies
  if (orthographic) {
    at = {x, y, 0}, g_camera = r * g_origin;
  } else {
    const Vec3<T> along = x * r.r0 + y * r.r1 + r.r2;
    const T inverse = 1 / sqrt(dot(along, along));
    const Vec3<T> unit = inverse * along;
    g_direction = inverse * (g_direction - dot(g_direction, unit) * unit);
    at = {x, y, 1}, g_camera = r * g_direction;
  }
  const Vec3<T> g = orthographic ? g_origin : g_direction;
  const T parts[12] = {g_origin.x, g_origin.y, g_origin.z, at.x * g.x, at.x * g.y, at.x * g.z,
                       at.y * g.x, at.y * g.y, at.y * g.z, at.z * g.x, at.z * g.y, at.z * g.z};
#pragma unroll
  for (int i = 0; i < 12; ++i) sums[i] += parts[i];
  if (orthographic) sums[9] += g_direction.x, sums[10] += g_direction.y, sums[11] += g_direction.z;
  const T g_x = g_camera.x / view.fx, g_y = (g_camera.y - g_x * view.skew) / view.fy;
  sums[12] -= g_x * x, sums[13] -= g_x * y, sums[14] -= g_x, sums[15] -= g_y * y, sums[16] -= g_y;
}

// Sums over a part of a view's pixels, always in the same order.
template <class T>
__global__ void __launch_bounds__(kThreads)
    partial_kernel(int64_t height, int64_t width, bool orthographic, const T* viewmats, const T* intrinsics,
                   const T* g_origins, const T* g_directions, double* partial) {
  const int64_t pixels = height * width, of = blockIdx.y;
  const View<T> view(viewmats, intrinsics, of);
  T sums[kParts] = {0};
  for (int k = 0; k < kPixels; ++k) {
    const int64_t i = (static_cast<int64_t>(blockIdx.x) * kPixels + k) * kThreads + threadIdx.x;
    if (i >= pixels) break;
    add_pixel(view, orthographic, i % width, i / width, point_at<T>(g_origins, of * pixels + i),
              point_at<T>(g_directions, of * pixels + i), sums);
  }
  __shared__ double warps[kThreads / 32][kParts];
#pragma unroll
  for (int p = 0; p < kParts; ++p) {
    T sum = sums[p];
    for (int step = 16; step > 0; step /= 2) sum += __shfl_xor_sync(0xffffffffu, sum, step);
    if (threadIdx.x % 32 == 0) warps[threadIdx.x / 32][p] = sum;
  }
  __syncthreads();
  if (threadIdx.x >= kParts) return;
  double sum = 0;
  for (int w = 0; w < kThreads / 32; ++w) sum += warps[w][threadIdx.x];
  partial[(of * gridDim.x + blockIdx.x) * kParts + threadIdx.x] = sum;
}

// A warp a view.
template <class T>
__global__ void cameras_kernel(int64_t blocks, const T* viewmats, const T* intrinsics, const double* partial,
                               T* g_viewmats, T* g_intrinsics) {
  const int64_t view = blockIdx.x;
  const View<T> at(viewmats, intrinsics, view);
  __shared__ double sums[kParts];
  if (threadIdx.x < kParts) {
    double sum = 0;
    for (int64_t b = 0; b < blocks; ++b) sum += partial[(view * blocks + b) * kParts + threadIdx.x];
    sums[threadIdx.x] = sum;
  }
  __syncwarp();
  if (threadIdx.x != 0) return;
  const Vec3<double> g_origin{sums[0], sums[1], sums[2]};
  const T* const rows = &at.rotation.r0.x;
  const T* const moved = &at.translation.x;
  for (int i = 0; i < 4; ++i)
    for (int j = 0; j < 4; ++j) {
      double g = 0;
      if (i < 3 && j < 3) g = sums[3 + 3 * i + j] - moved[i] * (&g_origin.x)[j];
      if (i < 3 && j == 3)
        g = -(rows[3 * i] * g_origin.x + rows[3 * i + 1] * g_origin.y + rows[3 * i + 2] * g_origin.z);
      g_viewmats[16 * view + 4 * i + j] = static_cast<T>(g);
    }
  const double k[9] = {sums[12], sums[13], sums[14], 0, sums[15], sums[16], 0, 0, 0};
  for (int i = 0; i < 9; ++i) g_intrinsics[9 * view + i] = static_cast<T>(k[i]);
}

int64_t partial_blocks(int64_t height, int64_t width) {
  return (height * width + kThreads * kPixels - 1) / (kThreads * kPixels);
}

}  // namespace
}  // namespace voge

using namespace voge;

int32_t voge_cuda_rays(int32_t device, void* stream, int32_t scalar_size, int64_t views, int64_t height, int64_t width,
                       int32_t orthographic, const void* viewmats, const void* intrinsics, void* origins,
                       void* directions) {
  return launch(device, scalar_size, [&](auto zero) {
    using T = decltype(zero);
    const int64_t rays = views * height * width;
    if (rays > 0)
      rays_kernel<T><<<blocks_for(rays, 256), 256, 0, static_cast<cudaStream_t>(stream)>>>(
          views, height, width, orthographic, static_cast<const T*>(viewmats), static_cast<const T*>(intrinsics),
          static_cast<T*>(origins), static_cast<T*>(directions));
    return cudaSuccess;
  });
}

int64_t voge_cuda_rays_partials(int64_t views, int64_t height, int64_t width) {
  return views * partial_blocks(height, width) * kParts;
}

int32_t voge_cuda_rays_backward(int32_t device, void* stream, int32_t scalar_size, int64_t views, int64_t height,
                                int64_t width, int32_t orthographic, const void* viewmats, const void* intrinsics,
                                const void* g_origins, const void* g_directions, void* g_viewmats, void* g_intrinsics,
                                double* partials) {
  return launch(device, scalar_size, [&](auto zero) {
    using T = decltype(zero);
    if (views == 0) return cudaSuccess;
    const T *const poses = static_cast<const T*>(viewmats), *const lenses = static_cast<const T*>(intrinsics);
    const unsigned blocks = static_cast<unsigned>(partial_blocks(height, width));
    partial_kernel<T><<<dim3(blocks, static_cast<unsigned>(views)), kThreads, 0, static_cast<cudaStream_t>(stream)>>>(
        height, width, orthographic, poses, lenses, static_cast<const T*>(g_origins),
        static_cast<const T*>(g_directions), partials);
    cameras_kernel<T><<<static_cast<unsigned>(views), 32, 0, static_cast<cudaStream_t>(stream)>>>(
        blocks, poses, lenses, partials, static_cast<T*>(g_viewmats), static_cast<T*>(g_intrinsics));
    return cudaSuccess;
  });
}

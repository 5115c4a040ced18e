// Products with W in compressed rows on the GPU, and what a host asks before anything runs.

#include "launch.cuh"

namespace voge {
namespace {

// A thread a (ray, channel): neighbors read neighboring channels.
template <class T>
__global__ void gather_kernel(int64_t rays, int64_t channels, const int64_t* offsets, const int32_t* index,
                              const T* weight, const T* attributes, T* out) {
  const int64_t i = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (i >= rays * channels) return;
  const int64_t ray = i / channels, c = i % channels;
  T sum = 0;
  for (int64_t e = offsets[ray]; e < offsets[ray + 1]; ++e) sum += weight[e] * attributes[index[e] * channels + c];
  out[i] = sum;
}

template <class T>
__global__ void scatter_kernel(int64_t rays, int64_t channels, const int64_t* offsets, const int32_t* index,
                               const T* weight, const T* image, T* out) {
  const int64_t i = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (i >= rays * channels) return;
  const int64_t ray = i / channels, c = i % channels;
  const T pixel = image[i];
  for (int64_t e = offsets[ray]; e < offsets[ray + 1]; ++e) atomicAdd(out + index[e] * channels + c, weight[e] * pixel);
}

// A warp a ray.
template <class T>
__global__ void dot_kernel(int64_t rays, int64_t channels, const int64_t* offsets, const int32_t* index,
                           const T* attributes, const T* image, T* out) {
  const int64_t ray = static_cast<int64_t>(blockIdx.x) * (blockDim.x / 32) + threadIdx.x / 32;
  if (ray >= rays) return;
  for (int64_t e = offsets[ray]; e < offsets[ray + 1]; ++e) {
    T sum = 0;
    for (int64_t c = threadIdx.x % 32; c < channels; c += 32)
      sum += image[ray * channels + c] * attributes[index[e] * channels + c];
    for (int step = 16; step > 0; step /= 2) sum += __shfl_xor_sync(0xffffffffu, sum, step);
    if (threadIdx.x % 32 == 0) out[e] = sum;
  }
}

__global__ void probe_kernel(int* out) { *out = 1; }

}  // namespace
}  // namespace voge

using namespace voge;

int32_t voge_abi_version(void) { return VOGE_ABI_VERSION; }

const char* voge_cuda_error(int32_t code) { return cudaGetErrorString(static_cast<cudaError_t>(code - kCudaErrors)); }

int32_t voge_cuda_probe(int32_t device) {
  int count = 0;
  cudaError_t error = cudaGetDeviceCount(&count);
  if (error == cudaSuccess && device >= count) error = cudaErrorInvalidDevice;
  if (error != cudaSuccess) return code_of(error);
  const OnDevice guard(device);
  int *on_device = nullptr, result = 0;
  error = cudaMalloc(&on_device, sizeof(int));
  if (error != cudaSuccess) return code_of(error);
  probe_kernel<<<1, 1>>>(on_device);
  error = cudaGetLastError();
  if (error == cudaSuccess) error = cudaMemcpy(&result, on_device, sizeof(int), cudaMemcpyDeviceToHost);
  cudaFree(on_device);
  return code_of(error);
}

int32_t voge_cuda_gather(int32_t device, void* stream, int32_t scalar_size, int64_t rays, int64_t channels,
                         const int64_t* offsets, const int32_t* index, const void* weight, const void* attributes,
                         void* out) {
  return launch(device, scalar_size, [&](auto zero) {
    using T = decltype(zero);
    if (rays * channels > 0)
      gather_kernel<T><<<blocks_for(rays * channels, 256), 256, 0, static_cast<cudaStream_t>(stream)>>>(
          rays, channels, offsets, index, static_cast<const T*>(weight), static_cast<const T*>(attributes),
          static_cast<T*>(out));
    return cudaSuccess;
  });
}

int32_t voge_cuda_scatter(int32_t device, void* stream, int32_t scalar_size, int64_t rays, int64_t channels,
                          int64_t count, const int64_t* offsets, const int32_t* index, const void* weight,
                          const void* image, void* out) {
  return launch(device, scalar_size, [&](auto zero) {
    using T = decltype(zero);
    cudaMemsetAsync(out, 0, count * channels * sizeof(T), static_cast<cudaStream_t>(stream));
    if (rays * channels > 0)
      scatter_kernel<T><<<blocks_for(rays * channels, 256), 256, 0, static_cast<cudaStream_t>(stream)>>>(
          rays, channels, offsets, index, static_cast<const T*>(weight), static_cast<const T*>(image),
          static_cast<T*>(out));
    return cudaSuccess;
  });
}

int32_t voge_cuda_dot_rows(int32_t device, void* stream, int32_t scalar_size, int64_t rays, int64_t channels,
                           const int64_t* offsets, const int32_t* index, const void* attributes, const void* image,
                           void* out) {
  return launch(device, scalar_size, [&](auto zero) {
    using T = decltype(zero);
    if (rays > 0)
      dot_kernel<T><<<blocks_for(rays, 8), 256, 0, static_cast<cudaStream_t>(stream)>>>(
          rays, channels, offsets, index, static_cast<const T*>(attributes), static_cast<const T*>(image),
          static_cast<T*>(out));
    return cudaSuccess;
  });
}

// Calls from the host: the device and stream of a scene, error codes, dispatch on the scalar type.
#pragma once

#include <cuda_runtime.h>

#include "../abi.h"

namespace voge {

constexpr int32_t kCudaErrors = 100;

// Makes a device current for the time of a call.
class OnDevice {
 public:
  explicit OnDevice(int device) {
    cudaGetDevice(&before_);
    if (device != before_) cudaSetDevice(device);
    device_ = device;
  }
  ~OnDevice() {
    if (device_ != before_) cudaSetDevice(before_);
  }
  OnDevice(const OnDevice&) = delete;

 private:
  int before_ = 0, device_ = 0;
};

inline int32_t code_of(cudaError_t error) {
  return error == cudaSuccess ? VOGE_OK : kCudaErrors + static_cast<int32_t>(error);
}

inline cudaStream_t stream_of(const voge_scene& s) { return static_cast<cudaStream_t>(s.stream); }

// body(T{}) with the scalar type, on the device; then the last error of its launches.
template <class Body>
int32_t launch(int32_t device, int32_t scalar_size, Body body) {
  const OnDevice guard(device);
  cudaGetLastError();  // not ours
  const cudaError_t error = scalar_size == 4 ? body(float{}) : body(double{});
  return code_of(error != cudaSuccess ? error : cudaGetLastError());
}

inline unsigned blocks_for(int64_t items, int block) { return static_cast<unsigned>((items + block - 1) / block); }

}  // namespace voge

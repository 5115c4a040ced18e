// Products with W in compressed rows, one row a ray: W A, W^T I, and the gradient of W A to W.

#include <algorithm>

#include "parallel.h"
#include "scene.h"

namespace voge {
namespace {

constexpr int64_t kBatch = 256;  // rays a worker takes at a time

template <class Body>
void for_each_row(int64_t rays, Body body) {
  share_out((rays + kBatch - 1) / kBatch, [&](auto next) {
    for (int64_t batch = next(); batch >= 0; batch = next())
      for (int64_t ray = batch * kBatch; ray < std::min(rays, (batch + 1) * kBatch); ++ray) body(ray);
  });
}

template <class T>
void gather(int64_t rays, int64_t channels, const int64_t* offsets, const int32_t* index, const T* weight,
            const T* attributes, T* out) {
  for_each_row(rays, [=](int64_t ray) {
    T* pixel = out + ray * channels;
    std::fill(pixel, pixel + channels, T(0));
    for (int64_t e = offsets[ray]; e < offsets[ray + 1]; ++e)
      for (int64_t c = 0; c < channels; ++c) pixel[c] += weight[e] * attributes[index[e] * channels + c];
  });
}

// Every worker owns a range of ellipsoids and reads all entries in order: no atomics, one result.
template <class T>
void scatter(int64_t rays, int64_t channels, int64_t count, const int64_t* offsets, const int32_t* index,
             const T* weight, const T* image, T* out) {
  const int64_t parts = std::min<int64_t>(thread_count(), 16), share = count / parts + 1;
  std::fill(out, out + count * channels, T(0));
  share_out(parts, [=](auto next) {
    for (int64_t part = next(); part >= 0; part = next())
      for (int64_t ray = 0; ray < rays; ++ray)
        for (int64_t e = offsets[ray]; e < offsets[ray + 1]; ++e) {
          const int64_t n = index[e];
          if (n < part * share || n >= (part + 1) * share) continue;
          for (int64_t c = 0; c < channels; ++c) out[n * channels + c] += weight[e] * image[ray * channels + c];
        }
  });
}

template <class T>
void dot_rows(int64_t rays, int64_t channels, const int64_t* offsets, const int32_t* index, const T* attributes,
              const T* image, T* out) {
  for_each_row(rays, [=](int64_t ray) {
    for (int64_t e = offsets[ray]; e < offsets[ray + 1]; ++e) {
      T sum = 0;
      for (int64_t c = 0; c < channels; ++c) sum += image[ray * channels + c] * attributes[index[e] * channels + c];
      out[e] = sum;
    }
  });
}

}  // namespace
}  // namespace voge

using voge::array;

int32_t voge_gather(int32_t scalar_size, int64_t rays, int64_t channels, const int64_t* offsets, const int32_t* index,
                    const void* weight, const void* attributes, void* out) {
  return voge::typed(scalar_size, [&](auto zero) {
    using T = decltype(zero);
    voge::gather<T>(rays, channels, offsets, index, array<T>(weight), array<T>(attributes), array<T>(out));
  });
}

int32_t voge_scatter(int32_t scalar_size, int64_t rays, int64_t channels, int64_t count, const int64_t* offsets,
                     const int32_t* index, const void* weight, const void* image, void* out) {
  return voge::typed(scalar_size, [&](auto zero) {
    using T = decltype(zero);
    voge::scatter<T>(rays, channels, count, offsets, index, array<T>(weight), array<T>(image), array<T>(out));
  });
}

int32_t voge_dot_rows(int32_t scalar_size, int64_t rays, int64_t channels, const int64_t* offsets, const int32_t* index,
                      const void* attributes, const void* image, void* out) {
  return voge::typed(scalar_size, [&](auto zero) {
    using T = decltype(zero);
    voge::dot_rows<T>(rays, channels, offsets, index, array<T>(attributes), array<T>(image), array<T>(out));
  });
}

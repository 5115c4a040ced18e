// A ray, the ellipsoids that its tile lists, and a beam of 32 rays that tests a list for all of them at once.
#pragma once

#include "../bounds.h"
#include "ring.cuh"

namespace voge {

constexpr unsigned kWholeWarp = 0xffffffffu;
VOGE_DEVICE bool any(bool value) { return __any_sync(kWholeWarp, value); }
constexpr int kRow = 16;  // scalars of a packed ellipsoid: center, whitening, density, least exponent, two unused

struct Grid {
  int64_t columns, per_view, total;
  __host__ __device__ explicit Grid(const voge_scene& s)
      : columns((s.width + s.tile_width - 1) / s.tile_width),
        per_view(columns * ((s.height + s.tile_height - 1) / s.tile_height)),
        total(per_view * s.views) {}
  VOGE_DEVICE int64_t tile_of(const voge_scene& s, int64_t ray) const {
    const int64_t x = ray % s.width, y = ray / s.width % s.height, view = ray / (s.width * s.height);
    return view * per_view + y / s.tile_height * columns + x / s.tile_width;
  }
};

// A ray that starts beside the tile's first ellipsoid; true distances are `shift` more.
template <class T>
struct LocalRay {
  Vec3<T> origin, direction;
  T shift;
  int64_t begin, end;  // the tile's list

  VOGE_DEVICE LocalRay(const voge_scene& s, int64_t ray, int64_t tile) {
    begin = s.tile_offsets[tile], end = s.tile_offsets[tile + 1];
    const Vec3<T> start = point_at<T>(s.origins, ray);
    direction = point_at<T>(s.directions, ray);
    const Vec3<T> anchor = begin < end ? point_at<T>(s.means, s.tile_members[begin]) : start;
    shift = dot(anchor - start, direction);
    origin = start + shift * direction;
  }
};

template <class T>
struct Packed {
  Vec3<T> mean;
  Mat3<T> whitening;
  T density, least;
};
VOGE_DEVICE Packed<float> unpacked(float4 a, float4 b, float4 c, float4 d) {
  return {{a.x, a.y, a.z}, {{a.w, b.x, b.y}, {b.z, b.w, c.x}, {c.y, c.z, c.w}}, d.x, d.y};
}
VOGE_DEVICE Packed<float> load_packed(const float* rows, int64_t id) {
  const float4* p = reinterpret_cast<const float4*>(rows + kRow * id);
  return unpacked(__ldg(p), __ldg(p + 1), __ldg(p + 2), __ldg(p + 3));
}
VOGE_DEVICE Packed<double> load_packed(const double* rows, int64_t id) {
  const double* p = rows + kRow * id;
  return {{p[0], p[1], p[2]}, {{p[3], p[4], p[5]}, {p[6], p[7], p[8]}, {p[9], p[10], p[11]}}, p[12], p[13]};
}

template <class T>
VOGE_DEVICE T warp_sum(T v) {
  for (int step = 16; step > 0; step /= 2) v += __shfl_xor_sync(kWholeWarp, v, step);
  return v;
}
VOGE_DEVICE float warp_max(float v) {
  for (int step = 16; step > 0; step /= 2) v = fmaxf(v, __shfl_xor_sync(kWholeWarp, v, step));
  return v;
}
VOGE_DEVICE float length_of(Vec3<float> v) { return sqrtf(dot(v, v)); }

// 32 rays within a pyramid about their middle one: every ray point at local distance t lies within
// side[i] + |t| spread[i] of the middle ray's, measured along across[i]; what lies along the ray does not matter.
struct Beam {
  Vec3<float> origin, direction, across[2];
  float side[2], spread[2], shift, shift_range;

  VOGE_DEVICE Beam(const LocalRay<float>& ray, bool valid, int corner) {
    const float rays = fmaxf(warp_sum(valid ? 1.0f : 0.0f), 1.0f);
    const auto mean = [&](float v) VOGE_INLINED { return warp_sum(valid ? v : 0.0f) / rays; };
    origin = {mean(ray.origin.x), mean(ray.origin.y), mean(ray.origin.z)};
    direction = {mean(ray.direction.x), mean(ray.direction.y), mean(ray.direction.z)};
    direction = (1 / length_of(direction)) * direction;
    shift = mean(ray.shift), shift_range = warp_max(valid ? fabsf(ray.shift - shift) : 0.0f);
    const auto from = [&](float v)
                          VOGE_INLINED { return __shfl_sync(kWholeWarp, v, corner) - __shfl_sync(kWholeWarp, v, 0); };
    Vec3<float> row{from(ray.origin.x), from(ray.origin.y), from(ray.origin.z)};
    row = row - dot(row, direction) * direction;
    if (!(dot(row, row) > 1e-30f)) row = fabsf(direction.x) < 0.8f ? Vec3<float>{1, 0, 0} : Vec3<float>{0, 1, 0};
    row = row - dot(row, direction) * direction;
    across[0] = (1 / length_of(row)) * row;
    across[1] = cross(direction, across[0]);
    for (int i = 0; i < 2; ++i) {
      side[i] = warp_max(valid ? fabsf(dot(ray.origin - origin, across[i])) : 0.0f) * 1.001f;
      spread[i] = warp_max(valid ? fabsf(dot(ray.direction - direction, across[i])) : 0.0f) * 1.001f;
    }
  }

  // May one of the rays meet the ellipsoid, whose events lie between the true distances `nearest` and `farthest`?
  // In its frame a ray passes the center no closer than the middle ray does, less what lies between the two
  // across the middle ray. Never a false no.
  VOGE_DEVICE bool meets(const Packed<float>& e, float nearest, float farthest) const {
    const Hit<float> hit = intersect(e.mean, e.whitening, origin, direction);
    const float distance = fmaxf(fabsf(nearest - shift), fabsf(farthest - shift)) + shift_range;
    float slack = 1e-3f;
    for (int i = 0; i < 2; ++i) {
      const Vec3<float> aside = e.whitening * across[i];
      const Vec3<float> off = aside - (dot(aside, hit.unit) / hit.precision) * hit.unit;
      slack += length_of(off) * (side[i] + distance * spread[i]);
    }
    return !(sqrtf(-2 * hit.exponent) * 0.9999f > sqrtf(-2 * e.least) + slack);
  }
};

constexpr int kFewChannels = 4;  // up to here a thread keeps a pixel to itself, beyond a warp shares the work

// Lists for a whole warp: candidates that its beam may meet are staged in shared memory, one visit for all lanes; with
// kColors their few channels too.
template <bool kColors>
struct WarpLists {
  static constexpr size_t kBytes = 32 * ((kRow + (kColors ? 4 : 0)) * sizeof(float) + sizeof(float) + sizeof(int32_t));
  const voge_scene& s;
  const LocalRay<float>& ray;
  const Beam& beam;
  float4 *rows, *colors;
  float* edges;
  int32_t* ids;
  int lane;

  VOGE_DEVICE WarpLists(const voge_scene& s_, const LocalRay<float>& ray_, const Beam& beam_, char* memory, int lane_)
      : s(s_),
        ray(ray_),
        beam(beam_),
        rows(reinterpret_cast<float4*>(memory)),
        colors(rows + 32 * kRow / 4),
        edges(reinterpret_cast<float*>(colors + (kColors ? 32 : 0))),
        ids(reinterpret_cast<int32_t*>(edges + 32)),
        lane(lane_) {}

  // visit(ellipsoid, id, color, edge, end) from the front or the back, until no lane is `alive`; once more, with
  // `end`, after the last. No event of this or any later candidate comes before the edge: its least distance, or from
  // the back its greatest.
  template <bool kFromBack, class Visit>
  VOGE_DEVICE void each(const bool& alive, Visit visit) const {
    const int64_t count = ray.end - ray.begin;
    bool end;
    int64_t base = 0;
    do {
      end = base >= count || !any(alive);
      const int staged = end ? 1 : stage(kFromBack, base, count);
      for (int j = 0; j < staged; ++j)
        visit(unpacked(rows[4 * j], rows[4 * j + 1], rows[4 * j + 2], rows[4 * j + 3]), ids[j],
              kColors ? colors[j] : float4{}, edges[j], end);
      __syncwarp();
      base += 32;
    } while (!end);
  }

 private:
  VOGE_DEVICE float4 color_of(int32_t id) const {
    const float* of = static_cast<const float*>(s.features) + id * s.channels;
    float c[kFewChannels] = {0};
#pragma unroll
    for (int k = 0; k < kFewChannels; ++k)
      if (k < s.channels) c[k] = __ldg(of + k);
    return make_float4(c[0], c[1], c[2], c[3]);
  }

  VOGE_DEVICE int stage(bool from_back, int64_t base, int64_t count) const {
    const int64_t i = from_back ? ray.end - 1 - base - lane : ray.begin + base + lane;
    float4 row[4];
    float edge = 0;
    int32_t id = 0;
    bool kept = base + lane < count;
    if (kept) {
      id = s.tile_members[i];
      const float4* p =
          reinterpret_cast<const float4*>(static_cast<const float*>(s.packed) + kRow * static_cast<int64_t>(id));
#pragma unroll
      for (int k = 0; k < 4; ++k) row[k] = __ldg(p + k);
      const float nearest = static_cast<const float*>(s.tile_nearest)[i],
                  farthest = static_cast<const float*>(s.tile_farthest)[i];
      edge = from_back ? farthest : nearest;
      kept = beam.meets(unpacked(row[0], row[1], row[2], row[3]), nearest, farthest);
    }
    const unsigned votes = __ballot_sync(kWholeWarp, kept);
    if (kept) {
      const int place = __popc(votes & ((1u << lane) - 1));
#pragma unroll
      for (int k = 0; k < 4; ++k) rows[4 * place + k] = row[k];
      edges[place] = edge, ids[place] = id;
      if constexpr (kColors) colors[place] = color_of(id);
    }
    __syncwarp();
    return __popc(votes);
  }
};

}  // namespace voge

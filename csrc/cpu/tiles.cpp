// Which ellipsoids each tile of rays may meet: exact screen bounds, or cones around any rays.

#include <algorithm>
#include <cmath>
#include <vector>

#include "parallel.h"
#include "scene.h"

namespace voge {
namespace {

// Squared radius of the level set density * exp(q) = eta, a little widened against rounding in the
// renderers' own test; negative where the ellipsoid is never seen (NaN counts as that).
double level_radius2(const voge_scene& s, double density) {
  return density >= s.eta ? 2 * std::log(density / s.eta) * 1.0001 + 1e-4 : -1;
}

template <class T>
Mat3<double> scaled_axes(const voge_scene& s, int64_t n, double radius) {
  const T* q = array<T>(s.quats) + 4 * n;
  const T* scale = array<T>(s.scales) + 3 * n;
  const double quat[4] = {q[0], q[1], q[2], q[3]};
  const Mat3<double> r = rotation_of(quat);
  const double a = radius * scale[0], b = radius * scale[1], c = radius * scale[2];
  return {{a * r.r0.x, b * r.r0.y, c * r.r0.z}, {a * r.r1.x, b * r.r1.y, c * r.r1.z}, {a * r.r2.x, b * r.r2.y, c * r.r2.z}};
}

Mat3<double> product(const Mat3<double>& a, const Mat3<double>& b) {
  return {transposed_times(b, a.r0), transposed_times(b, a.r1), transposed_times(b, a.r2)};
}

// World to homogeneous pixels: x -> linear x + shift.
struct PixelMap {
  Mat3<double> linear;
  Vec3<double> shift;
};

template <class T>
PixelMap pixel_map(const voge_scene& s, int64_t view) {
  const T* m = array<T>(s.viewmats) + 16 * view;
  const T* k = array<T>(s.intrinsics) + 9 * view;
  const double k00 = k[0], k01 = k[1], k02 = k[2], k11 = k[4], k12 = k[5];
  const Vec3<double> x{m[0], m[1], m[2]}, y{m[4], m[5], m[6]}, z{m[8], m[9], m[10]};
  const double tx = m[3], ty = m[7], tz = m[11];
  if (s.orthographic)
    return {{k00 * x + k01 * y, k11 * y, z}, {k00 * tx + k01 * ty + k02, k11 * ty + k12, tz}};
  return {{k00 * x + k01 * y + k02 * z, k11 * y + k12 * z, z}, {k00 * tx + k01 * ty + k02 * tz, k11 * ty + k12 * tz, tz}};
}

struct TileRange {
  int64_t first, last;  // last is excluded
};

// Tiles along one axis whose pixel centres lie in [low, high] pixels.
TileRange covered(double low, double high, int64_t size, int32_t tile) {
  constexpr double margin = 0.01;  // pixels; rays are float
  const double first = std::max(0.0, std::ceil(low - 0.5 - margin));
  const double last = std::min(size - 1.0, std::floor(high - 0.5 + margin));
  if (!(first <= last)) return {0, 0};
  return {static_cast<int64_t>(first) / tile, static_cast<int64_t>(last) / tile + 1};
}

TileRange between(const LevelSet& set, int axis, int64_t size, int32_t tile) {
  TileRange range{0, 0};
  const int64_t tiles = (size + tile - 1) / tile;
  for (int64_t i = 0; i < tiles; ++i)
    if (between_planes(set, axis, static_cast<double>(i * tile), static_cast<double>((i + 1) * tile))) {
      if (range.last == 0) range.first = i;
      range.last = i + 1;
    }
  return range;
}

// Calls visit(tile) for the tiles of one view that ellipsoid n may be seen in.
template <class T, class Visit>
void for_each_tile(const voge_scene& s, const TileGrid& grid, const PixelMap& map, int64_t n, Visit visit) {
  const double radius2 = level_radius2(s, array<T>(s.density)[n]);
  if (radius2 < 0) return;
  const Vec3<T> m = load3<T>(s.means, n);
  const LevelSet set{map.linear * Vec3<double>{m.x, m.y, m.z} + map.shift,
                     product(map.linear, scaled_axes<T>(s, n, std::sqrt(radius2)))};
  double low[2], high[2];
  const Seen seen = screen_bounds(set, s.orthographic, low, high);
  if (seen == Seen::never) return;
  const bool box = seen == Seen::in_box;
  const TileRange x = box ? covered(low[0], high[0], s.width, s.tile_width) : between(set, 0, s.width, s.tile_width);
  const TileRange y = box ? covered(low[1], high[1], s.height, s.tile_height) : between(set, 1, s.height, s.tile_height);
  for (int64_t row = y.first; row < y.last; ++row)
    for (int64_t column = x.first; column < x.last; ++column) visit(row * grid.columns + column);
}

// All rays of a tile lie in front of the plane through `start` and within the cone of half angle
// `angle` about `axis` from a ball of radius `spread` about `origin`.
struct Cone {
  Vec3<double> origin, axis;
  double spread, angle, start;
};

template <class T>
Cone cone_of(const voge_scene& s, const TileGrid& grid, int64_t tile) {
  Vec3<double> origin{0, 0, 0}, axis{0, 0, 0};
  double rays = 0, spread2 = 0, cosine = 1, start = -INFINITY;
  const auto load = [](const void* array, int64_t ray) {
    const Vec3<T> v = load3<T>(array, ray);
    return Vec3<double>{v.x, v.y, v.z};
  };
  for_each_ray(s, grid, tile, [&](int64_t ray) {
    origin = origin + load(s.origins, ray), axis = axis + load(s.directions, ray), rays += 1;
  });
  origin = (1 / rays) * origin;
  const double length = std::sqrt(dot(axis, axis));
  axis = length > 0 ? (1 / length) * axis : Vec3<double>{0, 0, 1};
  for_each_ray(s, grid, tile, [&](int64_t ray) {
    const Vec3<double> o = load(s.origins, ray), d = load(s.directions, ray), offset = o - origin;
    spread2 = std::max(spread2, dot(offset, offset));
    cosine = std::min(cosine, dot(axis, d) / std::sqrt(dot(d, d)));
    start = std::max(start, dot(o, axis));
  });
  return {origin, axis, std::sqrt(spread2), std::acos(std::max(-1.0, cosine)) + 1e-6, start};
}

// May the ball about `centre` be met by a ray of the cone? Never a false no.
bool meets(const Cone& cone, Vec3<double> centre, double radius) {
  constexpr double right_angle = 1.5707963267948966;
  const Vec3<double> v = centre - cone.origin;
  const double distance = std::sqrt(dot(v, v));
  const double reach = (radius + cone.spread) * 1.0001;
  if (distance <= reach || cone.angle >= right_angle) return true;
  const double excess = std::acos(std::clamp(dot(v, cone.axis) / distance, -1.0, 1.0)) - cone.angle;
  if (excess <= 0) return true;
  return excess < right_angle && distance * std::sin(excess) <= reach;
}

template <class T, class Visit>
void for_each_member(const voge_scene& s, const Cone& cone, Visit visit) {
  for (int64_t n = 0; n < s.count; ++n) {
    const double radius2 = level_radius2(s, array<T>(s.density)[n]);
    if (radius2 < 0) continue;
    const T* scale = array<T>(s.scales) + 3 * n;
    const Vec3<T> m = load3<T>(s.means, n);
    const double largest = std::max({scale[0], scale[1], scale[2]});
    if (meets(cone, {m.x, m.y, m.z}, largest * std::sqrt(radius2))) visit(n);
  }
}

// A distance that no event of ellipsoid n precedes on any ray of the tile: boxes reach
// sqrt(r^2 + a^2) standard deviations from the centre, and x(t).axis <= t + start.
template <class T>
double nearest_event(const voge_scene& s, const Cone& cone, int64_t n) {
  if (cone.angle >= 1.57) return -INFINITY;
  const double a = box_half_width(s.boxes, s.boxes - 1);
  const double radius2 = level_radius2(s, array<T>(s.density)[n]) + a * a;
  const LevelSet set{{0, 0, 0}, scaled_axes<T>(s, n, std::sqrt(radius2))};
  const Vec3<T> m = load3<T>(s.means, n);
  const double centre = dot(Vec3<double>{m.x, m.y, m.z}, cone.axis), half = half_extent(set, cone.axis);
  const double bound = centre - half - cone.start - 1e-5 * (std::fabs(centre) + std::fabs(cone.start) + half);
  return bound == bound ? bound : -INFINITY;  // a NaN would break the sort
}

constexpr int64_t kBatch = 512;  // ellipsoids a worker takes at a time

template <class T, class Visit>
void for_each_pair(const voge_scene& s, const TileGrid& grid, Visit visit) {
  const int64_t batches = (s.count + kBatch - 1) / kBatch;
  share_out(batches * s.views, [&](auto next) {
    for (int64_t item = next(); item >= 0; item = next()) {
      const int64_t view = item / batches, begin = item % batches * kBatch;
      const PixelMap map = pixel_map<T>(s, view);
      for (int64_t n = begin; n < std::min(begin + kBatch, s.count); ++n)
        for_each_tile<T>(s, grid, map, n, [&](int64_t tile) { visit(view * grid.per_view + tile, n); });
    }
  });
}

template <class T>
void count_members(const voge_scene& s, int64_t* offsets) {
  const TileGrid grid(s);
  std::vector<std::atomic<int64_t>> counts(grid.total);
  if (s.viewmats != nullptr) {
    for_each_pair<T>(s, grid, [&](int64_t tile, int64_t) { counts[tile].fetch_add(1, std::memory_order_relaxed); });
  } else {
    share_out(grid.total, [&](auto next) {
      for (int64_t tile = next(); tile >= 0; tile = next())
        for_each_member<T>(s, cone_of<T>(s, grid, tile), [&](int64_t) { ++counts[tile]; });
    });
  }
  offsets[0] = 0;
  for (int64_t tile = 0; tile < grid.total; ++tile) offsets[tile + 1] = offsets[tile] + counts[tile];
}

// Threads fill a tile in any order; sorting by bound, then by number, makes the list unique.
template <class T>
void list_members(const voge_scene& s, int32_t* members, T* nearest) {
  const TileGrid grid(s);
  if (s.viewmats != nullptr) {
    std::vector<std::atomic<int64_t>> cursor(grid.total);
    for (int64_t tile = 0; tile < grid.total; ++tile) cursor[tile] = s.tile_offsets[tile];
    for_each_pair<T>(s, grid, [&](int64_t tile, int64_t n) {
      members[cursor[tile].fetch_add(1, std::memory_order_relaxed)] = static_cast<int32_t>(n);
    });
  }
  share_out(grid.total, [&](auto next) {
    std::vector<std::pair<T, int32_t>> list;
    for (int64_t tile = next(); tile >= 0; tile = next()) {
      const int64_t begin = s.tile_offsets[tile], end = s.tile_offsets[tile + 1];
      if (begin == end) continue;
      const Cone cone = cone_of<T>(s, grid, tile);
      list.clear();
      const auto add = [&](int64_t n) {
        list.emplace_back(static_cast<T>(nearest_event<T>(s, cone, n)), static_cast<int32_t>(n));
      };
      if (s.viewmats == nullptr) for_each_member<T>(s, cone, add);
      else std::for_each(members + begin, members + end, add);
      std::sort(list.begin(), list.end());
      for (int64_t i = begin; i < end; ++i) nearest[i] = list[i - begin].first, members[i] = list[i - begin].second;
    }
  });
}

}  // namespace
}  // namespace voge

int32_t voge_tile_offsets(const voge_scene* scene, int64_t* offsets) {
  return voge::typed(scene->scalar_size, [&](auto zero) { voge::count_members<decltype(zero)>(*scene, offsets); });
}

int32_t voge_tile_members(const voge_scene* scene, int32_t* members, void* nearest) {
  return voge::typed(scene->scalar_size, [&](auto zero) {
    using T = decltype(zero);
    voge::list_members<T>(*scene, members, static_cast<T*>(nearest));
  });
}

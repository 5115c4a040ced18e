// Which ellipsoids each tile of rays may meet: exact screen bounds, or cones around any rays.

#include <algorithm>
#include <cmath>
#include <vector>

#include "parallel.h"
#include "scene.h"

namespace voge {
namespace {

template <class T>
Cone cone_of(const voge_scene& s, const TileGrid& grid, int64_t tile) {
  Vec3<double> origin{0, 0, 0}, axis{0, 0, 0};
  double rays = 0, spread2 = 0, cosine = 1, start = -INFINITY;
  const auto load = [](const void* array, int64_t ray) {
    const Vec3<T> v = point_at<T>(array, ray);
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

template <class T, class Visit>
void for_each_member(const voge_scene& s, const Cone& cone, Visit visit) {
  for (int64_t n = 0; n < s.count; ++n) {
    const double radius2 = level_radius2(s, array<T>(s.density)[n]);
    if (radius2 < 0) continue;
    const T* scale = array<T>(s.scales) + 3 * n;
    const Vec3<T> m = point_at<T>(s.means, n);
    const double largest = std::max({scale[0], scale[1], scale[2]});
    if (meets(cone, {m.x, m.y, m.z}, largest * std::sqrt(radius2))) visit(n);
  }
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
        for_each_tile<T>(s, grid.columns, map, n, [&](int64_t tile) { visit(view * grid.per_view + tile, n); });
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
        double nearest_event, farthest_event;
        event_range<T>(s, cone, n, nearest_event, farthest_event);
        list.emplace_back(static_cast<T>(nearest_event), static_cast<int32_t>(n));
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

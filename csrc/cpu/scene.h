// The scene as typed arrays, and the guard that turns exceptions into error codes.
#pragma once

#include <new>

#include "../abi.h"
#include "../bounds.h"

namespace voge {

template <class T>
const T* array(const void* pointer) {
  return static_cast<const T*>(pointer);
}
template <class T>
T* array(void* pointer) {
  return static_cast<T*>(pointer);
}

template <class T>
void store3(void* pointer, int64_t row, Vec3<T> v) {
  T* p = array<T>(pointer) + 3 * row;
  p[0] = v.x, p[1] = v.y, p[2] = v.z;
}

// The division of each view's rays into tiles, row by row.
struct TileGrid {
  int64_t columns, rows, per_view, total;
  explicit TileGrid(const voge_scene& s)
      : columns((s.width + s.tile_width - 1) / s.tile_width),
        rows((s.height + s.tile_height - 1) / s.tile_height),
        per_view(columns * rows),
        total(per_view * s.views) {}
};

// Calls visit(ray) for every ray of a tile.
template <class Visit>
void for_each_ray(const voge_scene& s, const TileGrid& grid, int64_t tile, Visit visit) {
  const int64_t view = tile / grid.per_view, within = tile % grid.per_view;
  const int64_t top = within / grid.columns * s.tile_height, left = within % grid.columns * s.tile_width;
  const int64_t bottom = top + s.tile_height < s.height ? top + s.tile_height : s.height;
  const int64_t right = left + s.tile_width < s.width ? left + s.tile_width : s.width;
  for (int64_t y = top; y < bottom; ++y)
    for (int64_t x = left; x < right; ++x) visit((view * s.height + y) * s.width + x);
}

template <class Body>
int32_t guarded(Body body) {
  try {
    body();
    return VOGE_OK;
  } catch (const std::bad_alloc&) {
    return VOGE_OUT_OF_MEMORY;
  } catch (...) {
    return VOGE_FAILED;
  }
}

// Runs body with a value of the scene's scalar type.
template <class Body>
int32_t typed(int32_t scalar_size, Body body) {
  return guarded([&] {
    if (scalar_size == 4) body(float{});
    else body(double{});
  });
}

}  // namespace voge

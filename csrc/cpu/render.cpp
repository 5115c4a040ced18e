// Pictures and fragments: every tile of rays against its list of ellipsoids.

#include <algorithm>
#include <limits>
#include <vector>

#include "parallel.h"
#include "ray.h"
#include "scene.h"

namespace voge {
namespace {

// A tile's ellipsoids, unpacked for loops that vectorize over them.
template <class T>
struct TileList {
  int size = 0;
  const int32_t* ids = nullptr;
  const T* nearest = nullptr;
  Vec3<T> anchor{0, 0, 0};  // their mean center: rays start beside it, so that depths keep their digits
  int stride = 0;
  std::vector<T> values;  // 14 rows: center (3), whitening (9), density, least exponent that counts

  void load(const voge_scene& s, int64_t tile) {
    const int64_t begin = s.tile_offsets[tile];
    size = static_cast<int>(s.tile_offsets[tile + 1] - begin);
    ids = s.tile_members + begin, nearest = array<T>(s.tile_nearest) + begin;
    stride = (size + 15) / 16 * 16;
    make_room(14 * stride, values);
    Vec3<double> sum{0, 0, 0};
    for (int i = 0; i < size; ++i) {
      const int64_t n = ids[i];
      const Vec3<T> m = point_at<T>(s.means, n);
      const Mat3<T> a = whitening_of(array<T>(s.scales) + 3 * n, array<T>(s.quats) + 4 * n);
      const T density = array<T>(s.density)[n];
      const T row[14] = {m.x,    m.y,    m.z,    a.r0.x, a.r0.y, a.r0.z,  a.r1.x,
                         a.r1.y, a.r1.z, a.r2.x, a.r2.y, a.r2.z, density, static_cast<T>(std::log(s.eta / density))};
      for (int v = 0; v < 14; ++v) values[v * stride + i] = row[v];
      sum = sum + Vec3<double>{m.x, m.y, m.z};
    }
    const double share = 1.0 / std::max(size, 1);
    anchor = {static_cast<T>(share * sum.x), static_cast<T>(share * sum.y), static_cast<T>(share * sum.z)};
  }
  const T* row(int v) const { return values.data() + v * stride; }
  Vec3<T> mean(int i) const { return {row(0)[i], row(1)[i], row(2)[i]}; }
  Mat3<T> whitening(int i) const {
    return {{row(3)[i], row(4)[i], row(5)[i]}, {row(6)[i], row(7)[i], row(8)[i]}, {row(9)[i], row(10)[i], row(11)[i]}};
  }
};

// A ray that starts beside the tile's anchor; true distances are `shift` more.
template <class T>
struct LocalRay {
  Vec3<T> origin, direction;
  T shift, near_distance, far_distance;

  LocalRay(const voge_scene& s, int64_t ray, Vec3<T> anchor) {
    const Vec3<T> true_origin = point_at<T>(s.origins, ray);
    direction = point_at<T>(s.directions, ray);
    shift = dot(anchor - true_origin, direction);
    origin = true_origin + shift * direction;
    near_distance = static_cast<T>(s.near_distance) - shift;
    far_distance = static_cast<T>(s.far_distance) - shift;
  }
};

// Everything a worker needs for one ray, kept between rays.
template <class T>
struct Workspace {
  TileList<T> list;
  Hits<T> hits;
  Sweep<T> sweep;
  ExactBackward<T> exact_backward;
  HitGradients<T> gradients;
  std::vector<T> depth, exponent, precision, weight, g_weight, sum;
  std::vector<int32_t> order;
};

// The loop that costs most: no branch, no store that the compiler must think may alias a load.
template <class T>
void intersect_list(const TileList<T>& list, int begin, int end, const LocalRay<T>& ray, T* __restrict depth,
                    T* __restrict exponent, T* __restrict precision) {
  const int stride = list.stride;
  const T* __restrict v = list.values.data();
  const Vec3<T> origin = ray.origin, direction = ray.direction;
  for (int i = begin; i < end; ++i) {
    const Mat3<T> whitening{{v[3 * stride + i], v[4 * stride + i], v[5 * stride + i]},
                            {v[6 * stride + i], v[7 * stride + i], v[8 * stride + i]},
                            {v[9 * stride + i], v[10 * stride + i], v[11 * stride + i]}};
    const Hit<T> hit = intersect({v[i], v[stride + i], v[2 * stride + i]}, whitening, origin, direction);
    depth[i - begin] = hit.depth, exponent[i - begin] = hit.exponent, precision[i - begin] = hit.precision;
  }
}

// Appends the hits of a ray among members [begin, end) of the tile's list.
template <class T>
void find_hits(Workspace<T>& w, int begin, int end, const LocalRay<T>& ray) {
  const int n = end - begin, start = w.hits.count;
  make_room(n, w.depth, w.exponent, w.precision);
  w.hits.reserve(start + n);
  intersect_list(w.list, begin, end, ray, w.depth.data(), w.exponent.data(), w.precision.data());
  Hits<T>& hits = w.hits;
  const T *least = w.list.row(13) + begin, *density = w.list.row(12);
  int found = start;
  for (int i = 0; i < n; ++i) {
    const bool kept = (w.exponent[i] >= least[i]) & (w.depth[i] > ray.near_distance) & (w.depth[i] < ray.far_distance);
    hits.member[found] = begin + i, hits.depth[found] = w.depth[i];
    hits.peak[found] = w.exponent[i], hits.width[found] = w.precision[i];
    found += kept;
  }
  hits.count = found;
  for (int i = start; i < found; ++i) {
    hits.peak[i] = exp_fast(hits.peak[i]);
    hits.mass[i] = density[hits.member[i]] * hits.peak[i];
    hits.sharpness[i] = std::sqrt(hits.width[i]);
    hits.width[i] = 1 / hits.sharpness[i];
  }
}

// Reads the tile's list in pieces: visit(first new hit, distance before which no later hit has an event)
// returns whether to go on.
template <class T, class Visit>
void stream_hits(Workspace<T>& w, const LocalRay<T>& ray, Visit visit) {
  constexpr int piece = 32;
  w.hits.count = 0;
  for (int begin = 0; begin < w.list.size; begin += piece) {
    const int end = std::min(begin + piece, w.list.size), known = w.hits.count;
    find_hits(w, begin, end, ray);
    const bool last = end == w.list.size;
    if (!visit(known, last ? std::numeric_limits<T>::infinity() : w.list.nearest[end] - ray.shift)) return;
  }
}

// All hits of a ray, nearest first; returns how many the limit left out.
template <class T>
int find_ordered_hits(const voge_scene& s, Workspace<T>& w, const LocalRay<T>& ray) {
  w.hits.count = 0;
  find_hits(w, 0, w.list.size, ray);
  return keep_nearest(w.hits, s.limit, w.order, w.sum);
}

// Weights of w.hits into w.weight; returns T(inf).
template <class T>
double weigh(const voge_scene& s, Workspace<T>& w, const LocalRay<T>& ray) {
  make_room(w.hits.count, w.weight);
  if (s.aggregation == VOGE_EXACT) {
    w.sweep.start(s.boxes);
    w.sweep.add(w.hits, 0, ray.near_distance, ray.far_distance);
    w.sweep.advance_to_end();
    std::copy(w.sweep.weight.begin(), w.sweep.weight.begin() + w.hits.count, w.weight.begin());
    return w.sweep.transmittance;
  }
  if (s.aggregation == VOGE_PAPER) paper_weights(w.hits, w.weight.data());
  else sorted_weights(w.hits, w.weight.data());
  return total_transmittance(w.hits);
}

// `exact` from front to back; ends below the stop transmittance. Leaves hits and w.weight; returns T(inf).
template <class T>
double weigh_streaming(const voge_scene& s, Workspace<T>& w, const LocalRay<T>& ray) {
  w.sweep.start(s.boxes);
  stream_hits(w, ray, [&](int known, T until) {
    w.sweep.add(w.hits, known, ray.near_distance, ray.far_distance);
    if (!w.sweep.idle()) w.sweep.advance(until);
    return w.sweep.transmittance >= s.stop_transmittance;
  });
  if (w.sweep.transmittance >= s.stop_transmittance) w.sweep.advance_to_end();  // events at infinity
  w.sweep.stop();
  make_room(w.hits.count, w.weight);
  std::copy(w.sweep.weight.begin(), w.sweep.weight.begin() + w.hits.count, w.weight.begin());
  return w.sweep.transmittance;
}

// A picture of `exact` needs no order of hits and no limit: its rays may stream.
bool streams(const voge_scene& s) { return s.aggregation == VOGE_EXACT && s.limit == 0; }

template <class T>
void shade(const voge_scene& s, const Workspace<T>& w, const LocalRay<T>& ray, int64_t index, double transmittance,
           T* image, T* out_transmittance, T* depth) {
  const int64_t channels = s.channels;
  T* pixel = image + index * channels;
  std::fill(pixel, pixel + channels, T(0));
  double distance = 0, total = 0;
  for (int k = 0; k < w.hits.count; ++k) {
    const T weight = w.weight[k];
    const T* feature = array<T>(s.features) + channels * w.list.ids[w.hits.member[k]];
    for (int64_t c = 0; c < channels; ++c) pixel[c] += weight * feature[c];
    distance += static_cast<double>(weight) * w.hits.depth[k], total += weight;
  }
  depth[index] = static_cast<T>(distance + ray.shift * total);
  out_transmittance[index] = static_cast<T>(transmittance);
}

template <class T>
void render(const voge_scene& s, T* image, T* transmittance, T* depth) {
  const TileGrid grid(s);
  share_out(grid.total, [&](auto next) {
    Workspace<T> w;
    for (int64_t tile = next(); tile >= 0; tile = next()) {
      w.list.load(s, tile);
      for_each_ray(s, grid, tile, [&](int64_t index) {
        const LocalRay<T> ray(s, index, w.list.anchor);
        double passed;
        if (streams(s)) passed = weigh_streaming(s, w, ray);
        else find_ordered_hits(s, w, ray), passed = weigh(s, w, ray);
        shade(s, w, ray, index, passed, image, transmittance, depth);
      });
    }
  });
}

// Finds the hits of a ray for the backward pass, in the order of the forward pass.
template <class T>
void find_hits_again(const voge_scene& s, Workspace<T>& w, const LocalRay<T>& ray, bool ordered) {
  w.exact_backward.start();
  const auto add = [&](int known, T until) {
    w.exact_backward.add(w.hits, known, s.boxes, ray.near_distance, ray.far_distance, until);
    return true;
  };
  if (!ordered) return stream_hits(w, ray, add);
  find_ordered_hits(s, w, ray);
  if (s.aggregation == VOGE_EXACT) add(0, std::numeric_limits<T>::infinity());
}

// From w.g_weight to w.gradients.
template <class T>
void weigh_backward(const voge_scene& s, Workspace<T>& w, const LocalRay<T>& ray, double g_transmittance) {
  w.gradients.reset(w.hits.count);
  if (s.aggregation == VOGE_EXACT)
    w.exact_backward.run(w.hits, s.boxes, ray.near_distance, ray.far_distance, w.g_weight.data(), g_transmittance,
                         w.gradients);
  else if (s.aggregation == VOGE_PAPER) paper_backward(w.hits, w.g_weight.data(), g_transmittance, w.gradients);
  else sorted_backward(w.hits, w.g_weight.data(), g_transmittance, w.gradients);
}

// Gradients to ellipsoids while they are gathered: a row per entry of the tile lists, then a sum per
// ellipsoid in the lists' order, whatever the number of threads. Lists are worked off in blocks, so
// that rows take bounded memory.
constexpr int kShapeRow = 10;  // PairGradient and density

template <class T>
class GradientSums {
 public:
  GradientSums(const voge_scene& s, T* g_features)
      : s_(s),
        channels_(g_features != nullptr ? s.channels : 0),
        g_features_(g_features),
        totals_(static_cast<size_t>(s.count) * kShapeRow, T(0)) {
    if (g_features != nullptr) std::fill(g_features, g_features + s.count * s.channels, T(0));
  }

  // The last tile of the block that starts at `first` (excluded), after clearing its rows.
  int64_t start_block(int64_t first, int64_t tiles) {
    const int64_t most = std::max<int64_t>(1, (int64_t{1} << 24) / row());
    first_entry_ = s_.tile_offsets[first];
    int64_t last = first + 1;
    while (last < tiles && s_.tile_offsets[last + 1] - first_entry_ <= most) ++last;
    end_entry_ = s_.tile_offsets[last];
    rows_.assign(static_cast<size_t>(end_entry_ - first_entry_) * row(), T(0));
    return last;
  }

  T* row_of(int64_t entry) { return rows_.data() + (entry - first_entry_) * row(); }

  void add(T* to, const PairGradient<T>& g, T g_density) const {
    const T values[kShapeRow] = {g.mean.x, g.mean.y, g.mean.z, g.xx, g.yy, g.zz, g.yz, g.xz, g.xy, g_density};
    for (int i = 0; i < kShapeRow; ++i) to[i] += values[i];
  }

  // Every worker owns a range of ellipsoids and reads all entries in order.
  void end_block() {
    const int64_t parts = std::min<int64_t>(thread_count(), 16), share = s_.count / parts + 1;
    share_out(parts, [&](auto next) {
      for (int64_t part = next(); part >= 0; part = next())
        for (int64_t entry = first_entry_; entry < end_entry_; ++entry) {
          const int64_t n = s_.tile_members[entry];
          if (n < part * share || n >= (part + 1) * share) continue;
          const T* from = row_of(entry);
          for (int i = 0; i < kShapeRow; ++i) totals_[n * kShapeRow + i] += from[i];
          for (int64_t c = 0; c < channels_; ++c) g_features_[n * channels_ + c] += from[kShapeRow + c];
        }
    });
  }

  void finish(T* g_means, T* g_scales, T* g_quats, T* g_density) const {
    for (int64_t n = 0; n < s_.count; ++n) {
      const T* t = totals_.data() + n * kShapeRow;
      const PairGradient<T> sum{{t[0], t[1], t[2]}, t[3], t[4], t[5], t[6], t[7], t[8]};
      finish_gradient(array<T>(s_.scales) + 3 * n, array<T>(s_.quats) + 4 * n, sum, g_means + 3 * n, g_scales + 3 * n,
                      g_quats + 4 * n);
      g_density[n] = t[9];
    }
  }

 private:
  int64_t row() const { return kShapeRow + channels_; }

  const voge_scene& s_;
  const int64_t channels_;
  T* g_features_;
  std::vector<T> totals_, rows_;
  int64_t first_entry_ = 0, end_entry_ = 0;
};

template <class T>
struct RayOutputs {
  T *origins, *directions;  // both or none
};

// From gradients to hits (w.gradients) to rows of sums and to the ray.
template <class T>
void spread_gradients(Workspace<T>& w, const LocalRay<T>& ray, int64_t index, GradientSums<T>& sums, int64_t entry,
                      RayOutputs<T> out) {
  Vec3<T> g_origin{0, 0, 0}, g_direction{0, 0, 0};
  const HitGradients<T>& g = w.gradients;
  for (int k = 0; k < w.hits.count; ++k) {
    const int member = w.hits.member[k];
    const Mat3<T> whitening = w.list.whitening(member);
    const Hit<T> hit = intersect(w.list.mean(member), whitening, ray.origin, ray.direction);
    const T width = w.hits.width[k], g_exponent = g.mass[k] * w.hits.mass[k];
    sums.add(sums.row_of(entry + member), pair_gradient(hit, width, g.depth[k], g_exponent, g.width[k]),
             g.mass[k] * w.hits.peak[k]);
    if (out.origins != nullptr)
      ray_gradient(hit, whitening, hit.depth + ray.shift, width, g.depth[k], g_exponent, g.width[k], g_origin,
                   g_direction);
  }
  if (out.origins != nullptr) store3(out.origins, index, g_origin), store3(out.directions, index, g_direction);
}

// Runs `per_ray(workspace, sums, ray, index, first entry of the tile)` over all tiles, block by block.
template <class T, class PerRay>
void gather_gradients(const voge_scene& s, GradientSums<T>& sums, PerRay per_ray) {
  const TileGrid grid(s);
  for (int64_t first = 0, last; first < grid.total; first = last) {
    last = sums.start_block(first, grid.total);
    share_out(last - first, [&](auto next) {
      Workspace<T> w;
      for (int64_t i = next(); i >= 0; i = next()) {
        w.list.load(s, first + i);
        for_each_ray(s, grid, first + i, [&](int64_t index) {
          per_ray(w, LocalRay<T>(s, index, w.list.anchor), index, s.tile_offsets[first + i]);
        });
      }
    });
    sums.end_block();
  }
}

template <class T>
void render_backward(const voge_scene& s, const T* g_image, const T* g_transmittance, const T* g_depth, T* g_means,
                     T* g_scales, T* g_quats, T* g_density, T* g_features, RayOutputs<T> out) {
  GradientSums<T> sums(s, g_features);
  const int64_t channels = s.channels;
  gather_gradients(s, sums, [&](Workspace<T>& w, const LocalRay<T>& ray, int64_t index, int64_t entry) {
    find_hits_again(s, w, ray, !streams(s));
    const T* g_pixel = g_image + index * channels;
    const T g_distance = g_depth != nullptr ? g_depth[index] : T(0);
    make_room(w.hits.count, w.g_weight);
    for (int k = 0; k < w.hits.count; ++k) {
      const T* feature = array<T>(s.features) + channels * w.list.ids[w.hits.member[k]];
      T g = g_distance * (w.hits.depth[k] + ray.shift);
      for (int64_t c = 0; c < channels; ++c) g += g_pixel[c] * feature[c];
      w.g_weight[k] = g;
    }
    weigh_backward(s, w, ray, g_transmittance != nullptr ? g_transmittance[index] : 0);
    for (int k = 0; k < w.hits.count; ++k) {
      const T weight = w.gradients.weight[k];
      w.gradients.depth[k] += g_distance * weight;
      T* row = sums.row_of(entry + w.hits.member[k]) + kShapeRow;
      for (int64_t c = 0; c < channels; ++c) row[c] += weight * g_pixel[c];
    }
    spread_gradients(w, ray, index, sums, entry, out);
  });
  sums.finish(g_means, g_scales, g_quats, g_density);
}

template <class T>
void trace_counts(const voge_scene& s, int64_t* counts, int64_t* truncated) {
  const TileGrid grid(s);
  share_out(grid.total, [&](auto next) {
    Workspace<T> w;
    for (int64_t tile = next(); tile >= 0; tile = next()) {
      w.list.load(s, tile);
      for_each_ray(s, grid, tile, [&](int64_t index) {
        w.hits.count = 0;
        find_hits(w, 0, w.list.size, LocalRay<T>(s, index, w.list.anchor));
        counts[index] = s.limit > 0 ? std::min(w.hits.count, s.limit) : w.hits.count;
        truncated[index] = w.hits.count - counts[index];
      });
    }
  });
}

template <class T>
void trace(const voge_scene& s, const int64_t* offsets, int32_t* out_index, T* weight, T* depth, T* transmittance) {
  const TileGrid grid(s);
  share_out(grid.total, [&](auto next) {
    Workspace<T> w;
    for (int64_t tile = next(); tile >= 0; tile = next()) {
      w.list.load(s, tile);
      for_each_ray(s, grid, tile, [&](int64_t index) {
        const LocalRay<T> ray(s, index, w.list.anchor);
        find_ordered_hits(s, w, ray);
        transmittance[index] = static_cast<T>(weigh(s, w, ray));
        for (int k = 0; k < w.hits.count; ++k) {
          const int64_t entry = offsets[index] + k;
          out_index[entry] = w.list.ids[w.hits.member[k]];
          weight[entry] = w.weight[k], depth[entry] = w.hits.depth[k] + ray.shift;
        }
      });
    }
  });
}

template <class T>
void trace_backward(const voge_scene& s, const int64_t* offsets, const T* g_weight, const T* g_depth,
                    const T* g_transmittance, T* g_means, T* g_scales, T* g_quats, T* g_density, RayOutputs<T> out) {
  GradientSums<T> sums(s, nullptr);
  gather_gradients(s, sums, [&](Workspace<T>& w, const LocalRay<T>& ray, int64_t index, int64_t entry) {
    find_hits_again(s, w, ray, true);
    const int64_t begin = offsets[index];
    w.g_weight.assign(g_weight + begin, g_weight + begin + w.hits.count);
    weigh_backward(s, w, ray, g_transmittance[index]);
    for (int k = 0; k < w.hits.count; ++k) w.gradients.depth[k] += g_depth[begin + k];
    spread_gradients(w, ray, index, sums, entry, out);
  });
  sums.finish(g_means, g_scales, g_quats, g_density);
}

}  // namespace
}  // namespace voge

using voge::array;

int32_t voge_render(const voge_scene* scene, void* image, void* transmittance, void* depth) {
  return voge::typed(scene->scalar_size, [&](auto zero) {
    using T = decltype(zero);
    voge::render<T>(*scene, array<T>(image), array<T>(transmittance), array<T>(depth));
  });
}

int32_t voge_render_backward(const voge_scene* scene, const void* g_image, const void* g_transmittance,
                             const void* g_depth, void* g_means, void* g_scales, void* g_quats, void* g_density,
                             void* g_features, void* g_origins, void* g_directions) {
  return voge::typed(scene->scalar_size, [&](auto zero) {
    using T = decltype(zero);
    voge::render_backward<T>(*scene, array<T>(g_image), array<T>(g_transmittance), array<T>(g_depth), array<T>(g_means),
                             array<T>(g_scales), array<T>(g_quats), array<T>(g_density), array<T>(g_features),
                             {array<T>(g_origins), array<T>(g_directions)});
  });
}

int32_t voge_trace_counts(const voge_scene* scene, int64_t* counts, int64_t* truncated) {
  return voge::typed(scene->scalar_size,
                     [&](auto zero) { voge::trace_counts<decltype(zero)>(*scene, counts, truncated); });
}

int32_t voge_trace(const voge_scene* scene, const int64_t* offsets, int32_t* index, void* weight, void* depth,
                   void* transmittance) {
  return voge::typed(scene->scalar_size, [&](auto zero) {
    using T = decltype(zero);
    voge::trace<T>(*scene, offsets, index, array<T>(weight), array<T>(depth), array<T>(transmittance));
  });
}

int32_t voge_trace_backward(const voge_scene* scene, const int64_t* offsets, const void* g_weight, const void* g_depth,
                            const void* g_transmittance, void* g_means, void* g_scales, void* g_quats, void* g_density,
                            void* g_origins, void* g_directions) {
  return voge::typed(scene->scalar_size, [&](auto zero) {
    using T = decltype(zero);
    voge::trace_backward<T>(*scene, offsets, array<T>(g_weight), array<T>(g_depth), array<T>(g_transmittance),
                            array<T>(g_means), array<T>(g_scales), array<T>(g_quats), array<T>(g_density),
                            {array<T>(g_origins), array<T>(g_directions)});
  });
}

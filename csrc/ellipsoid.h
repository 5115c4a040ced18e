// The mathematics of one ray and one ellipsoid, with derivatives, for host and device, float and double.
//
// Formulas and their derivations: docs/mathematics.md. The definition in plain torch:
// voge/rendering/reference.py, against which all code that uses this header is tested.
#pragma once

#include <cmath>
#include <cstdint>

#if defined(__CUDACC__)
#define VOGE_HD __host__ __device__ __forceinline__
#else
#define VOGE_HD inline __attribute__((always_inline))
#endif

namespace voge {

template <class T>
struct Vec3 {
  T x, y, z;
};
template <class T>
VOGE_HD Vec3<T> operator+(Vec3<T> a, Vec3<T> b) {
  return {a.x + b.x, a.y + b.y, a.z + b.z};
}
template <class T>
VOGE_HD Vec3<T> operator-(Vec3<T> a, Vec3<T> b) {
  return {a.x - b.x, a.y - b.y, a.z - b.z};
}
template <class T>
VOGE_HD Vec3<T> operator*(T s, Vec3<T> a) {
  return {s * a.x, s * a.y, s * a.z};
}
template <class T>
VOGE_HD T dot(Vec3<T> a, Vec3<T> b) {
  return a.x * b.x + a.y * b.y + a.z * b.z;
}
template <class T>
VOGE_HD Vec3<T> cross(Vec3<T> a, Vec3<T> b) {
  return {a.y * b.z - a.z * b.y, a.z * b.x - a.x * b.z, a.x * b.y - a.y * b.x};
}

template <class T>
struct Mat3 {  // by rows
  Vec3<T> r0, r1, r2;
};
template <class T>
VOGE_HD Vec3<T> operator*(const Mat3<T>& m, Vec3<T> v) {
  return {dot(m.r0, v), dot(m.r1, v), dot(m.r2, v)};
}
// m^T v
template <class T>
VOGE_HD Vec3<T> transposed_times(const Mat3<T>& m, Vec3<T> v) {
  return v.x * m.r0 + (v.y * m.r1 + v.z * m.r2);
}

// Rotation local to world of a quaternion (w, x, y, z) of any length but zero.
template <class T>
VOGE_HD Mat3<T> rotation_of(const T* quat) {
  const T norm = T(1) / std::sqrt(quat[0] * quat[0] + quat[1] * quat[1] + quat[2] * quat[2] + quat[3] * quat[3]);
  const T w = quat[0] * norm, x = quat[1] * norm, y = quat[2] * norm, z = quat[3] * norm;
  return {{1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)},
          {2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)},
          {2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)}};
}

// A = diag(1/scales) R^T: world offsets to standard deviations (section 1).
template <class T>
VOGE_HD Mat3<T> whitening_of(const T* scales, const T* quat) {
  const Mat3<T> r = rotation_of(quat);
  const T i = 1 / scales[0], j = 1 / scales[1], k = 1 / scales[2];
  return {
      {i * r.r0.x, i * r.r1.x, i * r.r2.x}, {j * r.r0.y, j * r.r1.y, j * r.r2.y}, {k * r.r0.z, k * r.r1.z, k * r.r2.z}};
}

// ---------------------------------------------------------------------------------------------
// One pair (section 1)

template <class T>
struct Hit {
  T depth;       // l, where the density along the ray peaks
  T exponent;    // q <= 0: the peak is density * exp(q)
  T precision;   // 1 / s^2 along the ray
  Vec3<T> near;  // p, whitened offset of the ray's nearest point: q = -|p|^2 / 2
  Vec3<T> unit;  // e = A d, whitened direction: precision = |e|^2
};

VOGE_HD double reciprocal(double v) { return 1 / v; }
VOGE_HD float reciprocal(float v) {
#if defined(__CUDA_ARCH__)
  float out;  // within 1 unit in the last place
  asm("rcp.approx.ftz.f32 %0, %1;" : "=f"(out) : "f"(v));
  return out;
#else
  return 1 / v;
#endif
}

// The whitened cross product keeps q accurate for flat and for distant ellipsoids alike.
template <class T>
VOGE_HD Hit<T> intersect(Vec3<T> mean, const Mat3<T>& whitening, Vec3<T> origin, Vec3<T> direction) {
  const Vec3<T> offset = origin - mean;
  const T along = -dot(offset, direction);
  const Vec3<T> u = whitening * (offset + along * direction);
  const Vec3<T> e = whitening * direction;
  const T precision = dot(e, e), variance = reciprocal(precision);
  const T shift = -dot(u, e) * variance;
  const Vec3<T> normal = cross(u, e);
  return {along + shift, T(-0.5) * dot(normal, normal) * variance, precision, u + shift * e, e};
}

// What a pair adds to an ellipsoid's gradient, before the factors that depend on the ellipsoid alone
// (section 4): dL/dmean = A^T mean; the symmetric `shape` gives scales (diagonal) and rotation.
template <class T>
struct PairGradient {
  Vec3<T> mean;
  T xx, yy, zz, yz, xz, xy;
};

// From gradients to l, q and s. `width` is s.
template <class T>
VOGE_HD PairGradient<T> pair_gradient(const Hit<T>& hit, T width, T g_depth, T g_exponent, T g_width) {
  const Vec3<T> p = hit.near, e = hit.unit;
  const T gl = g_depth * width * width, gs = g_width * width * width * width, gq = g_exponent;
  return {gq * p + gl * e,
          gq * p.x * p.x + 2 * gl * p.x * e.x + gs * e.x * e.x,
          gq * p.y * p.y + 2 * gl * p.y * e.y + gs * e.y * e.y,
          gq * p.z * p.z + 2 * gl * p.z * e.z + gs * e.z * e.z,
          gq * p.y * p.z + gl * (p.y * e.z + p.z * e.y) + gs * e.y * e.z,
          gq * p.x * p.z + gl * (p.x * e.z + p.z * e.x) + gs * e.x * e.z,
          gq * p.x * p.y + gl * (p.x * e.y + p.y * e.x) + gs * e.x * e.y};
}

// The pair's share of the gradient to the ray; `depth` is l measured from the ray's true origin.
template <class T>
VOGE_HD void ray_gradient(const Hit<T>& hit, const Mat3<T>& whitening, T depth, T width, T g_depth, T g_exponent,
                          T g_width, Vec3<T>& g_origin, Vec3<T>& g_direction) {
  const T gl = g_depth * width * width, gs = g_width * width * width * width;
  const Vec3<T> at_origin = g_exponent * hit.near + gl * hit.unit;
  const Vec3<T> at_direction = depth * at_origin + (gl * hit.near + gs * hit.unit);
  g_origin = g_origin - transposed_times(whitening, at_origin);
  g_direction = g_direction - transposed_times(whitening, at_direction);
}

// Sums of PairGradient over all rays, turned into gradients to an ellipsoid's parameters.
template <class T>
VOGE_HD void finish_gradient(const T* scales, const T* quat, const PairGradient<T>& sum, T* g_mean, T* g_scales,
                             T* g_quat) {
  const Vec3<T> mean = transposed_times(whitening_of(scales, quat), sum.mean);
  g_mean[0] = mean.x, g_mean[1] = mean.y, g_mean[2] = mean.z;
  g_scales[0] = sum.xx / scales[0], g_scales[1] = sum.yy / scales[1], g_scales[2] = sum.zz / scales[2];
  const T a = scales[0], b = scales[1], c = scales[2];
  // Gradient to a small local rotation vector; zero where two axes are equal.
  const Vec3<T> turn = {sum.yz * (b / c - c / b), sum.xz * (c / a - a / c), sum.xy * (a / b - b / a)};
  const T w = quat[0], x = quat[1], y = quat[2], z = quat[3];
  const T factor = 2 / (w * w + x * x + y * y + z * z);
  g_quat[0] = factor * (-x * turn.x - y * turn.y - z * turn.z);
  g_quat[1] = factor * (w * turn.x + y * turn.z - z * turn.y);
  g_quat[2] = factor * (w * turn.y + z * turn.x - x * turn.z);
  g_quat[3] = factor * (w * turn.z + x * turn.y - y * turn.x);
}

// ---------------------------------------------------------------------------------------------
// Nested boxes (section 2): half widths in standard deviations and masses

constexpr int kMaxBoxes = 4;

#define VOGE_BOX_HALF_WIDTHS                                       \
  {{1.7320508075688772, 0, 0, 0},                                  \
   {1.355626179974266, 2.8569700138728056, 0, 0},                  \
   {1.1544053947399682, 2.366759410734541, 3.7504397177257425, 0}, \
   {1.0232556637891326, 2.07684797867783, 3.20542900285647, 4.512745863399783}}
#define VOGE_BOX_MASSES                                               \
  {{1, 0, 0, 0},                                                      \
   {0.8162277660168379, 0.1837722339831621, 0, 0},                    \
   {0.6400011797774545, 0.3445751421832928, 0.015423678039252672, 0}, \
   {0.5111656321287837, 0.4306086276681767, 0.05731559955289179, 0.0009101406501477683}}

#if defined(__CUDACC__)  // in constant memory: a table on the stack would go through local memory
static __device__ __constant__ double kBoxHalfWidths[4][4] = VOGE_BOX_HALF_WIDTHS;
static __device__ __constant__ double kBoxMasses[4][4] = VOGE_BOX_MASSES;
#endif

VOGE_HD double box_half_width(int boxes, int i) {
#if defined(__CUDA_ARCH__)
  return kBoxHalfWidths[boxes - 1][i];
#else
  constexpr double table[4][4] = VOGE_BOX_HALF_WIDTHS;
  return table[boxes - 1][i];
#endif
}
VOGE_HD double box_mass(int boxes, int i) {
#if defined(__CUDA_ARCH__)
  return kBoxMasses[boxes - 1][i];
#else
  constexpr double table[4][4] = VOGE_BOX_MASSES;
  return table[boxes - 1][i];
#endif
}

// exp for float: within 2 units in the last place on [-87, 0], 0 below. Written so that loops vectorize.
VOGE_HD float exp_fast(float x) {
#if defined(__CUDA_ARCH__)
  float out;  // relative error 2e-7 + 1e-7 |x|, so less than 2e-7 of 1
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(out) : "f"(x * 1.44269504088896341f));
  return out;
#else
  const float clamped = x < -87.0f ? -87.0f : (x > 88.0f ? 88.0f : x);
  const float shifted = clamped * 1.44269504088896341f + 12582912.0f;  // 1.5 * 2^23: rounds to an integer
  const float n = shifted - 12582912.0f;
  const float r = (clamped - n * 0.693359375f) + n * 2.12194440e-4f;
  float p = 1.9875691500e-4f;
  p = p * r + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  p = p * r * r + r + 1.0f;
  union {
    int32_t i;
    float f;
  } scale;
  scale.i = (static_cast<int32_t>(n) + 127) << 23;
  return x < -87.0f ? 0.0f : p * scale.f;
#endif
}
VOGE_HD double exp_fast(double x) { return std::exp(x); }

VOGE_HD float quotient(float a, float b) {
#if defined(__CUDA_ARCH__)
  return a * reciprocal(b);
#else
  return a / b;
#endif
}

// What an interval of constant density needs; d is its optical depth.
template <class T>
struct Interval {
  T passed;  // e^-d
  T phi;     // (1 - e^-d) / d: the mean of e^-v, v in [0, d]
};
VOGE_HD Interval<float> interval(float d) {
  const float passed = exp_fast(-d);
  const float series =
      1.0f + d * (-1.0f / 2 + d * (1.0f / 6 + d * (-1.0f / 24 + d * (1.0f / 120 + d * (-1.0f / 720 + d / 5040)))));
  const float closed = quotient(1.0f - passed, d + 1e-30f);
  return {passed, d < 0.35f ? series : closed};
}
VOGE_HD Interval<double> interval(double d) { return {std::exp(-d), d < 1e-16 ? 1.0 : -std::expm1(-d) / d}; }

// psi(d) = integral of v e^(-d v), v in [0, 1] = (phi - e^-d) / d.
VOGE_HD float psi(float d, Interval<float> i) {
  const float series =
      0.5f + d * (-1.0f / 3 + d * (1.0f / 8 + d * (-1.0f / 30 + d * (1.0f / 144 + d * (-1.0f / 840 + d / 5760)))));
  const float closed = quotient(i.phi - i.passed, d + 1e-30f);
  return d < 0.5f ? series : closed;
}
VOGE_HD double psi(double d, Interval<double> i) {
  if (d > 1) return (i.phi - i.passed) / d;
  double sum = 0, term = 1;
  for (int n = 0; n < 20; ++n) {
    sum += term / (n + 2);
    term *= -d / (n + 1);
  }
  return sum;
}

// ---------------------------------------------------------------------------------------------
// Exact screen bounds (section 3), in double: few operations, and flat ellipsoids need the digits

enum class Seen { never, in_box, crossing };

// An ellipsoid's level set in homogeneous pixels: center K M and factor K R diag(r scales), so that
// pixel = (x / z, y / z) for a pinhole camera and (x, y) for an orthographic one.
struct LevelSet {
  Vec3<double> center;
  Mat3<double> factor;
};

VOGE_HD double half_extent(const LevelSet& set, Vec3<double> normal) {
  const Vec3<double> v = transposed_times(set.factor, normal);
  return std::sqrt(dot(v, v));
}

// Range of pixel coordinate `axis` (0: x, 1: y) for a set wholly in front of a pinhole camera:
// the tangents from the dual conic C = M M^T - r^2 Sigma.
VOGE_HD void tangents(const LevelSet& set, int axis, double& low, double& high) {
  const Vec3<double> row = axis == 0 ? set.factor.r0 : set.factor.r1, depth = set.factor.r2;
  const double m = axis == 0 ? set.center.x : set.center.y, z = set.center.z;
  const double cii = m * m - dot(row, row), ciz = m * z - dot(row, depth), czz = z * z - dot(depth, depth);
  const double root = std::sqrt(ciz * ciz - cii * czz > 0 ? ciz * ciz - cii * czz : 0);
  low = (ciz - root) / czz, high = (ciz + root) / czz;
}

// Where a set is seen; for `in_box` the pixel ranges [low, high] of x and y.
VOGE_HD Seen screen_bounds(const LevelSet& set, bool orthographic, double low[2], double high[2]) {
  const double reach = half_extent(set, {0, 0, 1});
  if (!(set.center.z + reach > 0)) return Seen::never;  // behind, or not finite
  if (orthographic) {
    const double x = half_extent(set, {1, 0, 0}), y = half_extent(set, {0, 1, 0});
    low[0] = set.center.x - x, high[0] = set.center.x + x, low[1] = set.center.y - y, high[1] = set.center.y + y;
    return Seen::in_box;
  }
  // Close to the camera's plane the tangents run off; planes through the pixels decide instead.
  if (set.center.z - reach <= 1e-6 * set.center.z) return Seen::crossing;
  tangents(set, 0, low[0], high[0]);
  tangents(set, 1, low[1], high[1]);
  return Seen::in_box;
}

// For a set that crosses the camera's plane: does any of it lie between the planes through pixel
// coordinates `from` and `to` of an axis? Never a false no.
VOGE_HD bool between_planes(const LevelSet& set, int axis, double from, double to) {
  const double unit[2] = {axis == 0 ? 1.0 : 0.0, axis == 0 ? 0.0 : 1.0};
  const Vec3<double> first = {unit[0], unit[1], -from}, last = {unit[0], unit[1], -to};
  return dot(first, set.center) + half_extent(set, first) >= 0 && dot(last, set.center) - half_extent(set, last) <= 0;
}

}  // namespace voge

// Activations and their derivatives: float32 by polynomials; float64, for tests, partly by the standard library.
#pragma once
#include <cmath>
#include "problem.h"
#include "vector.h"

namespace ITNET_ISA {

template <class T> INLINE Vec<T> sigmoid(Vec<T> x) { return all(T(1)) / (all(T(1)) + exponential(-x)); }

// tanh x = 1 - 2 / (e^2x + 1), or its Taylor series near 0, where that cancels.
INLINE Vec<float> hyperbolic(Vec<float> x) {
    const Vec<float> square = x * x;
    Vec<float> p = all(62.0f / 2835);
    p = p * square + all(-17.0f / 315);
    p = p * square + all(2.0f / 15);
    p = p * square + all(-1.0f / 3);
    p = x + x * square * p;
    return square < all(0.0625f) ? p : all(1.0f) - all(2.0f) / (exponential(x + x) + all(1.0f));
}
INLINE Vec<double> hyperbolic(Vec<double> x) {
    for (int64_t n = 0; n < WIDTH<double>; ++n) x[n] = std::tanh(x[n]);
    return x;
}

// The normal distribution function, erfc(-x / √2) / 2. In float32 by the Chebyshev fit of Press et al., Numerical
// Recipes, 2nd edition, §6.2, whose relative error is below 1.2e-7 everywhere.
INLINE Vec<float> normal(Vec<float> x) {
    const Vec<float> z = larger<float>(x, -x) * all(0.70710678118654752f);
    const Vec<float> t = all(1.0f) / (all(1.0f) + all(0.5f) * z);
    Vec<float> p = all(0.17087277f);
    p = p * t + all(-0.82215223f);
    p = p * t + all(1.48851587f);
    p = p * t + all(-1.13520398f);
    p = p * t + all(0.27886807f);
    p = p * t + all(-0.18628806f);
    p = p * t + all(0.09678418f);
    p = p * t + all(0.37409196f);
    p = p * t + all(1.00002368f);
    p = p * t + all(-1.26551223f);
    const Vec<float> tail = all(0.5f) * t * exponential(p - z * z);
    return x > Vec<float>{} ? all(1.0f) - tail : tail;
}
INLINE Vec<double> normal(Vec<double> x) {
    for (int64_t n = 0; n < WIDTH<double>; ++n) x[n] = 0.5 * std::erfc(-0.70710678118654752440 * x[n]);
    return x;
}

template <int64_t A, class T> INLINE Vec<T> activate(Vec<T> x) {
    if constexpr (A == RELU) return larger<T>(Vec<T>{}, x);
    if constexpr (A == SILU) return x * sigmoid<T>(x);
    if constexpr (A == GELU) return x * normal(x);
    if constexpr (A == TANH) return hyperbolic(x);
}

// Replace x by its activation, and return the derivative.
template <int64_t A, class T> INLINE Vec<T> activate_and_derive(Vec<T> &x) {
    const Vec<T> one = all(T(1));
    if constexpr (A == RELU) {
        x = larger<T>(Vec<T>{}, x);
        return kept<T>(x, one);
    }
    if constexpr (A == SILU) {
        const Vec<T> s = sigmoid<T>(x), y = x * s;
        x = y;
        return s + y * (one - s);
    }
    if constexpr (A == GELU) {
        const Vec<T> below = normal(x), y = x * below;
        const Vec<T> density = all(T(0.39894228040143267794)) * exponential(all(T(-0.5)) * x * x);
        const Vec<T> slope = below + x * density;
        x = y;
        return slope;
    }
    if constexpr (A == TANH) {
        x = hyperbolic(x);
        return one - x * x;
    }
}

}  // namespace ITNET_ISA

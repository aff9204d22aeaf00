// Entry points of one instruction set. Compiled once for each, with ITNET_ISA as its name.
#include "local.h"

#define JOIN_(a, b, c) a##b##_##c
#define JOIN(a, b, c) JOIN_(a, b, c)
#define ENTRY(name) extern "C" int JOIN(itnet_, name, ITNET_ISA)

namespace ITNET_ISA {

template <int64_t A, class T> int forward_of(const Problem &p) { return p.groups ? forward_local<A, T>(p) : forward<A, T>(p); }
template <class T> int run_forward(const Problem &p) {
    switch (p.activation) {
        case RELU: return forward_of<RELU, T>(p);
        case SILU: return forward_of<SILU, T>(p);
        case GELU: return forward_of<GELU, T>(p);
        default: return forward_of<TANH, T>(p);
    }
}

template <class T> int run_backward(const Problem &p) {
    if (p.groups) switch (p.activation) {
            case RELU: return backward_local<RELU, T>(p);
            case SILU: return backward_local<SILU, T>(p);
            case GELU: return backward_local<GELU, T>(p);
            default: return backward_local<TANH, T>(p);
        }
    int64_t *bounds = static_cast<int64_t *>(std::malloc(size_t(p.threads + 1) * sizeof(int64_t)));
    int failed = !bounds || balance<T>(p, bounds);
    if (!failed) switch (p.activation) {
            case RELU: failed = backward<RELU, T>(p, bounds); break;
            case SILU: failed = backward<SILU, T>(p, bounds); break;
            case GELU: failed = backward<GELU, T>(p, bounds); break;
            default: failed = backward<TANH, T>(p, bounds);
        }
    std::free(bounds);
    return failed;
}

template <class T> void run_function(int64_t function, const T *x, T *y, int64_t count) {
    for (int64_t n = 0; n < count; n += WIDTH<T>) {
        Vec<T> v{};
        const int64_t left = count - n < WIDTH<T> ? count - n : WIDTH<T>;
        for (int64_t i = 0; i < left; ++i) v[i] = x[n + i];
        v = function == 0   ? exponential(v)
            : function == 1 ? sigmoid<T>(v)
            : function == 2 ? normal(v)
                            : hyperbolic(v);
        for (int64_t i = 0; i < left; ++i) y[n + i] = v[i];
    }
}

}  // namespace ITNET_ISA

ENTRY(forward_float)(const Problem *p) { return ITNET_ISA::run_forward<float>(*p); }
ENTRY(forward_double)(const Problem *p) { return ITNET_ISA::run_forward<double>(*p); }
ENTRY(backward_float)(const Problem *p) { return ITNET_ISA::run_backward<float>(*p); }
ENTRY(backward_double)(const Problem *p) { return ITNET_ISA::run_backward<double>(*p); }
ENTRY(function_float)(int64_t f, const float *x, float *y, int64_t count) {
    ITNET_ISA::run_function<float>(f, x, y, count);
    return 0;
}

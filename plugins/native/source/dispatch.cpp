// The library's interface, in plain C: the best instruction set that this processor has, unless another one is chosen.
#include "problem.h"

#define DECLARE(isa)                                                             \
    extern "C" int itnet_forward_float_##isa(const Problem *);                   \
    extern "C" int itnet_forward_double_##isa(const Problem *);                  \
    extern "C" int itnet_backward_float_##isa(const Problem *);                  \
    extern "C" int itnet_backward_double_##isa(const Problem *);                 \
    extern "C" int itnet_function_float_##isa(int64_t, const float *, float *, int64_t);
#define TABLE(isa)                                                                                             \
    {#isa, itnet_forward_float_##isa, itnet_forward_double_##isa, itnet_backward_float_##isa,                  \
     itnet_backward_double_##isa, itnet_function_float_##isa}
#if defined(_WIN32)
#define EXPORT extern "C" __declspec(dllexport)
extern "C" __declspec(dllimport) int __stdcall IsProcessorFeaturePresent(unsigned long feature);
#else
#define EXPORT extern "C" __attribute__((visibility("default")))
#endif

DECLARE(portable)
#if defined(__x86_64__)
DECLARE(avx2)
DECLARE(avx512)
#endif

namespace {

struct Entries {
    const char *name;
    int (*forward_float)(const Problem *), (*forward_double)(const Problem *);
    int (*backward_float)(const Problem *), (*backward_double)(const Problem *);
    int (*function_float)(int64_t, const float *, float *, int64_t);
};

const Entries ALL[] = {
#if defined(__x86_64__)
    TABLE(avx512), TABLE(avx2),
#endif
    TABLE(portable)};
constexpr int COUNT = sizeof ALL / sizeof *ALL;

bool runs(int number) {
#if defined(__x86_64__) && defined(_WIN32)  // __builtin_cpu_supports would need Clang's runtime library
    if (number == 0) return IsProcessorFeaturePresent(41);  // PF_AVX512F_INSTRUCTIONS_AVAILABLE
    if (number == 1) return IsProcessorFeaturePresent(40);  // PF_AVX2_INSTRUCTIONS_AVAILABLE
#elif defined(__x86_64__)
    __builtin_cpu_init();
    if (number == 0) return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
    if (number == 1) return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
#endif
    return number < COUNT;
}

}  // namespace

// The size of a Problem, which Python compares with its own; and the number of instruction sets.
EXPORT int64_t itnet_problem_size() { return sizeof(Problem); }
EXPORT int itnet_count() { return COUNT; }
// The n-th instruction set's name, the best first, and whether this processor has it.
EXPORT const char *itnet_name(int n) { return ALL[n].name; }
EXPORT int itnet_runs(int n) { return runs(n); }
// 0, or 1 if memory ran out. `bytes` is the size of a number: 4 or 8.
EXPORT int itnet_forward(int n, const Problem *p, int bytes) { return (bytes == 4 ? ALL[n].forward_float : ALL[n].forward_double)(p); }
EXPORT int itnet_backward(int n, const Problem *p, int bytes) { return (bytes == 4 ? ALL[n].backward_float : ALL[n].backward_double)(p); }
// exp, the logistic function, the normal distribution function or tanh of float32 numbers, for tests.
EXPORT int itnet_function(int n, int64_t function, const float *x, float *y, int64_t count) { return ALL[n].function_float(function, x, y, count); }

// Denormal numbers count as 0 while an object of this class lives: operations on them are up to a hundred times slower,
// and saturated activations make many.
#pragma once
#include <cstdint>

namespace ITNET_ISA {

class WithoutDenormals {
  public:
    WithoutDenormals() : before_(control()) { control(before_ | FLUSH); }
    ~WithoutDenormals() { control(before_); }
    WithoutDenormals(const WithoutDenormals &) = delete;
    WithoutDenormals &operator=(const WithoutDenormals &) = delete;

  private:
#if defined(__x86_64__)
    typedef uint32_t Register;
    static constexpr Register FLUSH = 0x8040;  // results and inputs
    static Register control() { return __builtin_ia32_stmxcsr(); }
    static void control(Register value) { __builtin_ia32_ldmxcsr(value); }
#elif defined(__aarch64__)
    typedef uint64_t Register;
    static constexpr Register FLUSH = 1 << 24;
    static Register control() {
        Register value;
        __asm__ volatile("mrs %0, fpcr" : "=r"(value));
        return value;
    }
    static void control(Register value) { __asm__ volatile("msr fpcr, %0" : : "r"(value)); }
#else
    typedef uint32_t Register;
    static constexpr Register FLUSH = 0;
    static Register control() { return 0; }
    static void control(Register) {}
#endif
    Register before_;
};

}  // namespace ITNET_ISA

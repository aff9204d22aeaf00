// A thread's working memory: one allocation, cut into aligned arrays.
#pragma once
#include <cstdint>
#include <cstdlib>
#include <cstring>

namespace ITNET_ISA {

class Scratch {
  public:
    explicit Scratch(int64_t bytes, bool zero = false)
        : start_(static_cast<char *>(zero ? std::calloc(size_t(bytes + LINE), 1) : std::malloc(size_t(bytes + LINE)))), at_(start_) {
        at_ += (LINE - reinterpret_cast<uintptr_t>(start_) % LINE) % LINE;
    }
    ~Scratch() { std::free(start_); }
    Scratch(const Scratch &) = delete;
    Scratch &operator=(const Scratch &) = delete;

    bool there() const { return start_ != nullptr; }
    template <class T> T *take(int64_t count) {
        T *taken = reinterpret_cast<T *>(at_);
        at_ += padded<T>(count);
        return taken;
    }
    template <class T> static int64_t padded(int64_t count) { return (count * int64_t(sizeof(T)) + LINE - 1) / LINE * LINE; }

  private:
    static constexpr int64_t LINE = 64;
    char *start_, *at_;
};

}  // namespace ITNET_ISA

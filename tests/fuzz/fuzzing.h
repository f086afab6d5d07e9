// What the fuzz targets share: bytes taken apart, files for readers that want a path, and the rule
// that a reader accepts or throws one Error fit to be printed. All else is a finding: a crash,
// another exception, a sanitizer's word, a broken property, ten seconds, more memory than the limit
// below.
//
// DEVELOPERS.md says how a target is written and a finding replayed.
#pragma once

#include <fcntl.h>
#include <sanitizer/allocator_interface.h>
#include <stdlib.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <string>
#include <string_view>

#include "fathom/base/error.h"
#include "fathom/base/text.h"

namespace fathom::fuzzing {

[[noreturn]] inline void finding(const std::string& what) {
  std::fprintf(stderr, "FINDING: %s\n", what.c_str());
  std::abort();
}

inline void require(bool holds, const char* property) {
  if (!holds) finding(property);
}

// The bytes of one execution, taken from the front. Past the end there are zeros.
class Input {
 public:
  Input(const uint8_t* data, size_t size) : rest_(reinterpret_cast<const char*>(data), size) {}

  template <class T = uint8_t>
  T number() {
    T value = 0;
    const size_t n = std::min(sizeof value, rest_.size());
    std::memcpy(&value, rest_.data(), n);
    rest_.remove_prefix(n);
    return value;
  }
  // One of n choices; the digit `0` is the first, so that seeds stay readable.
  size_t below(size_t n) { return static_cast<uint8_t>(number() - '0') % n; }
  // Up to the next `end`, which is dropped; all of the rest if there is none.
  std::string text(char end) {
    const size_t n = std::min(rest_.find(end), rest_.size());
    std::string taken(rest_.substr(0, n));
    rest_.remove_prefix(std::min(n + 1, rest_.size()));
    return taken;
  }
  std::string rest() { return std::string(std::exchange(rest_, {})); }
  bool empty() const { return rest_.empty(); }

 private:
  std::string_view rest_;
};

// A choice, `0` for a plain text, and the text. With `?`, bytes of value 1 cut it into five parts,
// of which the second and the fourth are there thousands of times: depths and lengths are reached
// that no small input has. `run` makes the stack small for it.
inline std::string grown(Input& in, int times = 3000) {
  if (in.below(16) != 15) return in.rest();
  std::string text;
  for (int part = 0; part < 4; ++part) {
    const std::string piece = in.text('\x01').substr(0, part % 2 == 0 ? std::string::npos : 8);
    for (int i = 0; i < (part % 2 == 0 ? 1 : times); ++i) text += piece;
  }
  return text + in.rest();
}

// The heap that a reader holds at its peak, beyond what was there before it.
class HeapMeter {
 public:
  HeapMeter() {
    static const bool installed =
        __sanitizer_install_malloc_and_free_hooks(on_malloc, on_free) != 0;
    require(installed, "the heap can be measured");
    live_ = 0;
    peak_ = 0;
  }
  static int64_t peak() { return peak_; }

 private:
  static void on_malloc(const volatile void*, size_t size) {
    const int64_t live = live_ += static_cast<int64_t>(size);
    if (live > peak_) peak_ = live;
  }
  static void on_free(const volatile void* block) {
    if (block != nullptr)
      live_ -= static_cast<int64_t>(__sanitizer_get_allocated_size(const_cast<void*>(block)));
  }
  inline static std::atomic<int64_t> live_{0}, peak_{0};
};

// Fit for a terminal: UTF-8 in one line, and nothing in it that a terminal would obey.
inline void require_printable(const std::string& text) {
  if (!is_printable(text)) finding("not fit to be printed: " + in_quotes(text));
  if (text.size() > 600) finding("too long for a sentence: " + text);
}

constexpr int64_t kMaxHeap = 64 << 20;  // beside the file itself

// Runs a reader on an input of `size` bytes; false: it threw an Error as it should be.
template <class Read>
bool accepts(size_t size, Read read) {
  bool accepted = true;
  const HeapMeter meter;
  try {
    read();
  } catch (const Error& error) {
    accepted = false;
    const std::string message = error.what();
    require(!message.empty(), "an error says what is wrong");
    require_printable(message);
    require_printable(error.hint());
  }
  if (meter.peak() > kMaxHeap + static_cast<int64_t>(size))
    finding("a heap of " + std::to_string(meter.peak()) + " bytes for a file of " +
            std::to_string(size));
  return accepted;
}

// A folder in memory where there is some, removed at the program's end.
class Folder {
 public:
  Folder() {
    std::string pattern = std::filesystem::temp_directory_path() / "fathom-fuzz-XXXXXX";
    require(::mkdtemp(pattern.data()) != nullptr, "a folder can be made");
    path_ = pattern;
  }
  ~Folder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;

  const std::string& path() const { return path_; }
  std::string write(const std::string& name, std::string_view text) const {
    std::string path = path_ + "/" + name;
    const int fd = ::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    require(fd >= 0 && ::write(fd, text.data(), text.size()) == static_cast<ssize_t>(text.size()),
            "a file can be written");
    ::close(fd);
    return path;
  }

 private:
  std::string path_;
};

}  // namespace fathom::fuzzing

// FATHOM_FUZZ(in) { ... }: the target's one function; `in` is an Input.
#define FATHOM_FUZZ(in)                                                     \
  static void fuzz_one(fathom::fuzzing::Input in);                          \
  extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) { \
    fuzz_one({data, size});                                                 \
    return 0;                                                               \
  }                                                                         \
  static void fuzz_one(fathom::fuzzing::Input in)

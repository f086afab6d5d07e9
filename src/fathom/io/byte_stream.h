// Bytes that come one after the other: of a file, of a text, or of a program that reads a file.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace fathom {

class ByteStream {
 public:
  virtual ~ByteStream() = default;
  // At least one byte, at most `size`; 0 at the end. Throws Error where it breaks off.
  virtual size_t read(char* out, size_t size) = 0;
  // Bytes of the file that have been read so far; of what a program was given, about as many.
  virtual uint64_t position() const = 0;
};

// A file or a pipe.
std::unique_ptr<ByteStream> open_file_stream(const std::string& path);
// `text` must outlive it.
std::unique_ptr<ByteStream> text_stream(std::string_view text);

struct Program {
  std::vector<std::string> words;  // found in PATH, started without a shell
  // Where it cannot be started, or ends with 127 for it lacks something: what to install.
  std::string hint;
};

// What a program prints that has the file as its standard input. Its end is an Error, with the last
// line that it said, unless the program exits with 0. Whoever reads no further ends it.
std::unique_ptr<ByteStream> open_program_stream(const Program& program, const std::string& path);
// The same of a text, which is copied.
std::unique_ptr<ByteStream> open_program_stream_over(const Program& program, std::string_view text);

// Puts bytes that were looked at before those that follow.
class PeekedStream : public ByteStream {
 public:
  explicit PeekedStream(std::unique_ptr<ByteStream> stream) : stream_(std::move(stream)) {}
  // The first bytes, as many as there are and at most `size`.
  std::string_view peek(size_t size);
  size_t read(char* out, size_t size) override;
  uint64_t position() const override { return stream_->position(); }

 private:
  std::unique_ptr<ByteStream> stream_;
  std::string head_;
  size_t taken_ = 0;
};

}  // namespace fathom

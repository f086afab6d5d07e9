// JSON lines and tar archives of documents: raw, or one file in an archive whose header is sound
// but for some bytes.
#include "fathom/data/documents.h"

#include <cstring>

#include "fuzz/fuzzing.h"

namespace fathom::fuzzing {
namespace {

struct Count : DocumentSink {
  bool begin() override { return ++documents < 100; }
  void text(std::string_view part) override { bytes += part.size(); }
  size_t documents = 0, bytes = 0;
};

// A block of 512 bytes with its checksum.
std::string header(const std::string& name, const std::string& size, char type) {
  std::string block(512, '\0');
  const auto put = [&](size_t at, std::string_view text, size_t most) {
    text = text.substr(0, most);
    std::memcpy(block.data() + at, text.data(), text.size());
  };
  put(0, name, 100);
  put(124, size, 12);
  block[156] = type;
  put(257, "ustar", 5);
  put(148, "        ", 8);
  unsigned sum = 0;
  for (const char c : block) sum += static_cast<unsigned char>(c);
  char digits[8];
  std::snprintf(digits, sizeof digits, "%06o", sum);
  put(148, digits, 7);
  return block;
}

}  // namespace

FATHOM_FUZZ(in) {
  const size_t mode = in.below(3);
  std::string bytes;
  if (mode == 2) {
    const auto type = static_cast<char>(in.number());
    const std::string name = in.text('\x01'), size = in.text('\x01');
    bytes = header(name, size, type);
  }
  bytes += grown(in);
  DocumentForm form;
  form.titled = true;
  Count count;
  const auto stream = text_stream(bytes);
  accepts(bytes.size(), [&] {
    if (mode == 0)
      read_json_lines(*stream, "x", form, count);
    else
      read_tar(*stream, "x", [&](const std::string&, const std::string& content) {
        count.text(content);
        return count.begin();
      });
  });
  require(count.bytes <= bytes.size() + 16 * count.documents, "texts come from the bytes");
  require(tidied(bytes).size() <= bytes.size(), "a tidy text is not longer");
}

}  // namespace fathom::fuzzing

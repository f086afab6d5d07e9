#include "fathom/data/npy_header.h"

#include <fmt/format.h>

#include <charconv>
#include <cstring>
#include <optional>
#include <vector>

#include "fathom/base/error.h"
#include "fathom/base/text.h"

namespace fathom {
namespace {

constexpr const char* kHint = "save the ids with numpy.save(path, ids.astype(numpy.uint16))";

[[noreturn]] void refuse(const std::string& path, const std::string& why) {
  fail(fmt::format("{} is not a .npy file of tokens: {}", path, why), kHint);
}

struct Dictionary {
  std::optional<std::string> descr;
  std::optional<bool> fortran_order;
  std::optional<std::vector<uint64_t>> shape;
};

// Reads the Python dictionary in the header: three known keys in any order, with a string, a bool
// and a tuple of integers. Nothing else is valid NumPy, and nothing is ever evaluated.
class DictionaryReader {
 public:
  DictionaryReader(std::string_view text, const std::string& path) : rest_(text), path_(path) {}

  Dictionary read() {
    Dictionary d;
    expect('{');
    while (!accept('}')) {
      const std::string key = read_string();
      expect(':');
      if (key == "descr" && !d.descr) {
        if (peek() == '[') refuse(path_, "it holds records, not plain numbers");
        d.descr = read_string();
      } else if (key == "fortran_order" && !d.fortran_order) {
        d.fortran_order = read_bool();
      } else if (key == "shape" && !d.shape) {
        d.shape = read_tuple();
      } else {
        refuse(path_, fmt::format("its header has the unexpected key {}", quoted_start(key)));
      }
      if (!accept(',') && peek() != '}') malformed();
    }
    peek();
    if (!rest_.empty() || !d.descr || !d.fortran_order || !d.shape) malformed();
    return d;
  }

 private:
  [[noreturn]] void malformed() const { refuse(path_, "its header is malformed"); }

  char peek() {
    const size_t first = rest_.find_first_not_of(" \n");
    rest_.remove_prefix(first == std::string_view::npos ? rest_.size() : first);
    return rest_.empty() ? '\0' : rest_.front();
  }
  bool accept(char c) {
    if (peek() != c || rest_.empty()) return false;
    rest_.remove_prefix(1);
    return true;
  }
  void expect(char c) {
    if (!accept(c)) malformed();
  }
  bool accept_word(std::string_view word) {
    peek();
    if (rest_.substr(0, word.size()) != word) return false;
    rest_.remove_prefix(word.size());
    return true;
  }

  std::string read_string() {
    const char quote = peek();
    if (quote != '\'' && quote != '"') malformed();
    const size_t end = rest_.find(quote, 1);
    if (end == std::string_view::npos) malformed();
    std::string text(rest_.substr(1, end - 1));
    rest_.remove_prefix(end + 1);
    return text;
  }
  bool read_bool() {
    if (accept_word("True")) return true;
    if (accept_word("False")) return false;
    malformed();
  }
  std::vector<uint64_t> read_tuple() {
    std::vector<uint64_t> values;
    expect('(');
    while (!accept(')')) {
      peek();
      uint64_t value = 0;
      const auto [end, error] = std::from_chars(rest_.data(), rest_.data() + rest_.size(), value);
      if (error != std::errc()) malformed();
      rest_.remove_prefix(static_cast<size_t>(end - rest_.data()));
      values.push_back(value);
      if (!accept(',') && peek() != ')') malformed();
    }
    return values;
  }

  std::string_view rest_;
  const std::string& path_;
};

uint64_t little_endian(std::string_view bytes) {
  uint64_t value = 0;
  for (size_t i = bytes.size(); i-- > 0;) value = value << 8 | static_cast<unsigned char>(bytes[i]);
  return value;
}

}  // namespace

NpyHeader read_npy_header(std::string_view file, const std::string& path) {
  const size_t version_at = kNpyMagic.size(), length_at = version_at + 2;
  const int major = file.size() > version_at ? file[version_at] : 0;
  if (major < 1 || major > 3)
    refuse(path, fmt::format("its format version is {}, known are 1 to 3", major));
  const size_t length_bytes = major == 1 ? 2 : 4;
  if (file.size() < length_at + length_bytes) refuse(path, "it ends within its header");
  const uint64_t length = little_endian(file.substr(length_at, length_bytes));
  const uint64_t dictionary_at = length_at + length_bytes;
  if (length > file.size() - dictionary_at) refuse(path, "it ends within its header");

  const Dictionary d = DictionaryReader(file.substr(dictionary_at, length), path).read();
  if (d.descr->find('O') != std::string::npos)
    refuse(path, "it holds pickled Python objects, which are never read");
  if (*d.descr != "<u2")
    refuse(path,
           fmt::format("its dtype is {}, tokens are \"<u2\" (uint16)", quoted_start(*d.descr)));
  if (d.shape->size() != 1)
    refuse(path, fmt::format("it has {} dimensions, tokens have 1", d.shape->size()));
  if (*d.fortran_order) refuse(path, "it is in Fortran order");

  NpyHeader header;
  header.start = dictionary_at + length;
  header.count = d.shape->front();
  const uint64_t data = file.size() - header.start;
  if (data % 2 != 0 || header.count != data / 2)
    refuse(path, fmt::format("its header promises {} tokens, the file has {} bytes of them",
                             header.count, data));
  return header;
}

}  // namespace fathom

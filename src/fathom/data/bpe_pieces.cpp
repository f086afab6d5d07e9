// The pieces of GPT-2's pattern, by PCRE2.
#define PCRE2_CODE_UNIT_WIDTH 8
#include <fmt/format.h>
#include <pcre2.h>

#include <algorithm>

#include "fathom/base/error.h"
#include "fathom/data/bpe.h"

namespace fathom {
namespace {

// Unicode's White_Space, written out: PCRE2's \s has U+180E as well.
#define FATHOM_SPACE \
  "\\t-\\r "         \
  "\\x{85}\\x{a0}\\x{1680}\\x{2000}-\\x{200a}\\x{2028}\\x{2029}\\x{202f}\\x{205f}\\x{3000}"

constexpr char kPattern[] = "'(?:[sdmt]|ll|ve|re)| ?\\p{L}+| ?\\p{N}+| ?[^" FATHOM_SPACE
                            "\\p{L}\\p{N}]+"
                            "|[" FATHOM_SPACE "]+(?![^" FATHOM_SPACE "])|[" FATHOM_SPACE "]+";

// Compiled once, shared by all threads.
class Pattern {
 public:
  Pattern() {
    int error = 0;
    PCRE2_SIZE offset = 0;
    code_ =
        pcre2_compile(reinterpret_cast<PCRE2_SPTR>(kPattern), PCRE2_ZERO_TERMINATED,
                      PCRE2_UTF | PCRE2_UCP | PCRE2_MATCH_INVALID_UTF, &error, &offset, nullptr);
    if (code_ == nullptr) fail(fmt::format("PCRE2 refuses GPT-2's pattern at {}", offset));
    // Without a just-in-time compiler the same code is interpreted.
    has_jit_ = pcre2_jit_compile(code_, PCRE2_JIT_COMPLETE) == 0;
  }
  ~Pattern() { pcre2_code_free(code_); }
  Pattern(const Pattern&) = delete;
  Pattern& operator=(const Pattern&) = delete;

  // Of the next match from `offset` on; false: there is none.
  bool find(std::string_view text, size_t offset, pcre2_match_data* data, size_t& begin,
            size_t& end) const {
    const auto subject = reinterpret_cast<PCRE2_SPTR>(text.data());
    const int n = has_jit_ ? pcre2_jit_match(code_, subject, text.size(), offset, 0, data, nullptr)
                           : pcre2_match(code_, subject, text.size(), offset, 0, data, nullptr);
    if (n == PCRE2_ERROR_NOMATCH) return false;
    if (n < 0) fail(fmt::format("PCRE2 gave up on the text at byte {} (error {})", offset, n));
    const PCRE2_SIZE* range = pcre2_get_ovector_pointer(data);
    begin = range[0], end = range[1];
    return true;
  }

  pcre2_match_data* make_match_data() const {
    return pcre2_match_data_create_from_pattern(code_, nullptr);
  }

 private:
  pcre2_code* code_ = nullptr;
  bool has_jit_ = false;
};

// Not within a character, where the text is UTF-8.
size_t character_end(std::string_view text, size_t at) {
  for (size_t i = at; at < text.size() && i > 0 && at - i < 4; --i)
    if ((text[i] & 0xC0) != 0x80) return i;
  return at;
}

}  // namespace

struct PieceReader::Match {
  Match() : data(pattern().make_match_data()) {}
  ~Match() { pcre2_match_data_free(data); }
  static const Pattern& pattern() {
    static const Pattern pattern;
    return pattern;
  }
  pcre2_match_data* data;
};

PieceReader::PieceReader(std::string_view text) : rest_(text), match_(std::make_unique<Match>()) {}
PieceReader::~PieceReader() = default;

bool PieceReader::next(std::string_view& piece) {
  if (rest_.empty()) return false;
  // As if the text ended there: no piece is longer, and none is sought through all of the text.
  const size_t limit = std::min(rest_.size(), kMaxPieceBytes);
  const std::string_view near = rest_.substr(0, character_end(rest_, limit));
  size_t begin = 0, end = 0;
  if (!Match::pattern().find(near, 0, match_->data, begin, end)) begin = near.size();
  // What is before a match is no UTF-8; the match is found again, with all of its own length.
  piece = near.substr(0, begin > 0 ? begin : end);
  rest_.remove_prefix(piece.size());
  return true;
}

void for_each_piece(std::string_view text, const std::function<void(std::string_view)>& visit) {
  PieceReader reader(text);
  for (std::string_view piece; reader.next(piece);) visit(piece);
}

}  // namespace fathom

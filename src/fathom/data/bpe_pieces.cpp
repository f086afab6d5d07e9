// The pieces of GPT-2's pattern, by PCRE2.
#define PCRE2_CODE_UNIT_WIDTH 8
#include <fmt/format.h>
#include <pcre2.h>

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

}  // namespace

void for_each_piece(std::string_view text, const std::function<void(std::string_view)>& visit) {
  static const Pattern pattern;
  const std::unique_ptr<pcre2_match_data, void (*)(pcre2_match_data*)> data(
      pattern.make_match_data(), pcre2_match_data_free);
  size_t done = 0, begin = 0, end = 0;
  while (done < text.size() && pattern.find(text, done, data.get(), begin, end)) {
    if (begin > done) visit(text.substr(done, begin - done));
    visit(text.substr(begin, end - begin));
    done = end;
  }
  if (done < text.size()) visit(text.substr(done));
}

}  // namespace fathom

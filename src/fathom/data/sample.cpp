#include "fathom/data/sample.h"

#include <fmt/format.h>

#include "fathom/base/error.h"
#include "fathom/data/bpe_vocabulary.h"

namespace fathom {
namespace {

void encode_onto(std::vector<uint32_t>& tokens, const Tokenizer& tokenizer, std::string_view text,
                 Specials specials) {
  const std::vector<uint32_t> ids = specials == Specials::kTokens
                                        ? encode_with_specials(tokenizer, text)
                                        : tokenizer.encode(text);
  tokens.insert(tokens.end(), ids.begin(), ids.end());
}

}  // namespace

uint32_t end_token(const Tokenizer& tokenizer) {
  if (const auto end = tokenizer.end_of_text()) return *end;
  std::vector<uint32_t> newline;
  try {
    newline = tokenizer.encode("\n");
  } catch (const Error&) {
  }
  if (newline.size() != 1)
    fail(fmt::format("the {} tokenizer has no token for the end of an answer, neither {} nor a "
                     "newline",
                     tokenizer.kind(), kEndOfText),
         "prepare the rows with another --tokenizer, such as bpe or byte");
  return newline[0];
}

Sample make_sample(const Tokenizer& tokenizer, std::string_view prompt, std::string_view truth,
                   Specials specials) {
  const uint32_t end = end_token(tokenizer);
  Sample sample;
  sample.tokens.push_back(end);
  encode_onto(sample.tokens, tokenizer, prompt, specials);
  sample.truth_at = sample.tokens.size();
  encode_onto(sample.tokens, tokenizer, truth, specials);
  const bool has_end = sample.tokens.size() > sample.truth_at && sample.tokens.back() == end;
  if (!has_end) sample.tokens.push_back(end);
  return sample;
}

Sample make_sample(const Tokenizer& tokenizer, const Row& row, Specials specials) {
  return row.is_text ? make_sample(tokenizer, title_prompt(row), row.text, specials)
                     : make_sample(tokenizer, row.prompt, row.truth, specials);
}

std::string title_prompt(const Row& row) {
  return row.title.empty() ? "" : "Title: " + row.title + "\n";
}

}  // namespace fathom

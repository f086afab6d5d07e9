// Questions with endings: lines and files of any bytes, and what becomes of them as tokens.
#include "fathom/data/choices.h"
#include "fuzz/fuzzing.h"

namespace fathom::fuzzing {

FATHOM_FUZZ(in) {
  const auto seen = 1 + static_cast<int64_t>(in.below(64));
  const std::string text = grown(in);
  std::vector<Choice> choices;
  if (!accepts(8 * text.size(), [&] { choices = read_choices(text, "h.jsonl"); })) return;
  require(!choices.empty(), "a file has questions");
  static const auto tokenizer = make_byte_tokenizer();
  for (size_t i = 0; i < std::min<size_t>(choices.size(), 20); ++i) {
    const Choice& choice = choices[i];
    require(choice.label < choice.endings.size() && choice.endings.size() >= 2, "one is right");
    require(read_choice(choice_line(choice), "again") == choice, "a line reads back as it was");
    ChoiceRows rows;
    if (!accepts(100 * text.size(), [&] { rows = choice_rows(*tokenizer, choice, seen, "q"); }))
      continue;
    for (const ChoiceRows::Row& row : rows.rows) {
      require(row.ending_at >= 1 && row.ending_at < row.tokens.size(), "there is a context");
      require(static_cast<int64_t>(row.tokens.size()) - 1 <= seen, "it fits");
    }
  }
}

}  // namespace fathom::fuzzing

#include "fathom/train/recipe/prepared_corpus.h"

#include <fmt/format.h>

#include <cstdio>
#include <nlohmann/json.hpp>

#include "fathom/base/text.h"
#include "fathom/base/visible.h"
#include "fathom/config/path_text.h"
#include "fathom/data/numbers/example.h"
#include "fathom/io/json_text.h"
#include "fathom/track/terminal.h"
#include "fathom/train/recipe/registry.h"

namespace fathom {

void print_report(const PrepareReport& r) {
  const Style style(stdout);
  const auto line = [](const std::string& what, const std::string& said) {
    fmt::print("  {:<16}{}\n", what, hanging(said, 18, terminal_width(stdout)));
  };
  for (const std::string& notice : r.notices)
    fmt::print("{}", fitted(stdout, fmt::format("note: {}\n", visible(notice))));
  fmt::print("{} {}\n", style.bold(visible(r.name)),
             r.already_prepared ? "is prepared already, nothing was written" : "is prepared");
  fmt::print("  {:<16}{}\n", "folder", visible(r.path));
  line("tokenizer",
       fmt::format("{}, vocabulary {}", visible(r.tokenizer), with_commas(r.vocab_size)));
  line("text", fmt::format("{} characters, {}", with_commas(static_cast<int64_t>(r.characters)),
                           human_bytes(static_cast<double>(r.bytes))));
  for (const PrepareReport::Split& split : r.splits)
    line(
        split.name,
        fmt::format("{}{} tokens",
                    split.rows > 0 ? with_commas(static_cast<int64_t>(split.rows)) + " rows, " : "",
                    with_commas(static_cast<int64_t>(split.tokens))));
  line("bytes per token", fmt::format("{:.3f}", r.bytes_per_token));
  line("unigram entropy",
       fmt::format("{:.4f} nats: the loss of knowing only how frequent each token is",
                   r.unigram_entropy));
  std::vector<std::string> frequent;
  for (const auto& token : r.frequent) frequent.push_back(in_quotes(token.text));
  line("most frequent", join(frequent, " "));
  line("begins", in_quotes(r.sample));
  line("as ids", fmt::format("{}", fmt::join(r.sample_ids, " ")));
  fmt::print("{}",
             fitted(stdout, fmt::format("\nTrain on it with `fathom train {} --dataset={}`.\n",
                                        registry().example(), shell_word(r.name))));
}

void print_generated(bool as_json) {
  const std::string line =
      fmt::format("fathom train {} --dataset={}", registry().example(), kNumbers);
  if (as_json)
    fmt::print(
        "{}\n",
        json_text(nlohmann::json{{"name", kNumbers}, {"generated", true}, {"train", line}}, 2));
  else
    fmt::print("{}", fitted(stdout, fmt::format("{0} needs no preparation: it is generated while "
                                                "it is read, nothing was written\n\n"
                                                "Train on it with `{1}`.\nIts settings are the "
                                                "section {0} of `fathom train --help`.\n",
                                                kNumbers, line)));
}

}  // namespace fathom

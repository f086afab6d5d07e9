#include "fathom/cli/trace/request.h"

#include "fathom/base/error.h"
#include "fathom/study/asked/typed_text.h"
#include "fathom/train/recipe/suggested_words.h"

namespace fathom {
std::optional<TraceRequest> parse_trace(const Arguments& arguments) {
  CommandLine line("trace", "RUN [--key=value ...]",
                   "Which layer answered each token of a text, and what the others thought.",
                   "fathom trace quickstart_early_exit --format=html --output=who.html");
  TraceRequest request;
  std::string text;
  const char* const kSplit = "a text of the corpus, not --text";
  const auto of_split = [&] { return text.empty(); };
  line.positional("RUN", request.model.run, "a run's name, or its folder");
  line.suggests(suggested_runs);
  FieldList list;
  add_fields(list, request.model);
  add_policy_field(list, request.model);
  list.find("checkpoint")->alias("ckpt");
  list.section("text");
  list.add("dataset", request.dataset, "another corpus of the same tokenizer; empty: the run's own")
      .path()
      .needs(kSplit, of_split)
      .suggests(suggested_corpora);
  list.add("split", request.split, "train or val").needs(kSplit, of_split);
  list.add("text", text, "this text, or FILE:path, in place of the split's").any_bytes();
  list.add("start_idx", request.start_idx,
           "first token in the split (of numbers, which sequence), -1: anywhere")
      .at_least(-1)
      .at_most(1e15)
      .needs(kSplit, of_split);
  list.add("num_chars", request.num_chars,
           "tokens at most; None: all of --text; of a split as many as the model sees, 300 at most")
      .at_least(2)
      .at_most(1 << 25);
  list.add("sentences", request.sentences,
           "end with the n-th of . ! ?, 0 or less: only by num_chars; None: 2, or 0 for --text and "
           "numbers")
      .at_least(-1e9)
      .at_most(1e9);
  list.add("seed", request.seed, "of the place in the split")
      .at_least(0)
      .at_most(kMostSeed)
      .needs(kSplit, of_split)
      .needs("start_idx = -1", [&] { return request.start_idx < 0; });
  list.section("table");
  list.add("candidates", request.candidates, "predictions of each layer in JSON and HTML")
      .at_least(1)
      .at_most(50)
      .needs("format = json or html", [&] {
        const report::Format format = request.output.format;
        return format == report::Format::kJson || format == report::Format::kHtml;
      });
  add_fields(list, request.output);
  if (!parse_into(line, arguments, list)) return std::nullopt;
  if (list.given("text")) {
    request.text = start_text(text);
    if (request.text->empty()) misuse("text is empty", "give some, or leave out --text");
  }
  settle(list, request.output);
  settle(request.model);
  require_next_token(request.model, "trace");
  settle_state(request.model);
  require_no_draws(request.model);
  request.notices = notices_of(list);
  return request;
}

}  // namespace fathom

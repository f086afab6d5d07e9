#include "fathom/train/recipe/data_options.h"

#include <fmt/format.h>

#include <algorithm>

#include "fathom/base/error.h"
#include "fathom/base/text.h"
#include "fathom/train/recipe/plan_data.h"

namespace fathom {

// Whether a corpus has rows is known when it is opened.
void add_row_fields(FieldList& list, DataConfig& c) {
  list.add("include_prompts", c.include_prompts,
           "rows: prompts are learned too; false: only the answers are");
  list.add("dont_include_prompts", c.dont_include_prompts, "LMPlay's spelling of include_prompts");
  list.add<LongRows>(
      "long_rows", c.long_rows,
      "rows longer than block_size: continue: in parts, no token is lost; sentences: "
      "texts as LMPlay continues them; trim: their beginning",
      {{"continue", LongRows::kContinue},
       {"sentences", LongRows::kSentences},
       {"trim", LongRows::kTrim}});
  list.add("row_overlap", c.row_overlap,
           "tokens that a long row's next part begins with as context, below block_size")
      .at_least(0)
      .at_most(1 << 20)
      .needs("long_rows = continue", [&c] { return c.long_rows == LongRows::kContinue; });
  list.add("fresh_rows", c.fresh_rows,
           "every optimiser step begins with a new row, the rest of a long one is dropped (LMPlay)")
      .needs("long_rows = continue or sentences", [&c] { return c.long_rows != LongRows::kTrim; });
  list.add("pack_rows", c.pack_rows, "as many rows in one sequence as fit, unseen by each other");
  list.add("shuffle_rows", c.shuffle_rows, "rows in another order each epoch, not as stored");
  const char* const kSeveral = "several names in dataset";
  const auto several = [&c] { return c.has_several_datasets(); };
  list.add<MixtureRule>(
          "mixture", c.mixture,
          "of several data sets: row by row in turn, an epoch as long as the shortest "
          "or the longest lasts; weighted: drawn",
          {{"first_exhausted", MixtureRule::kFirstExhausted},
           {"all_exhausted", MixtureRule::kAllExhausted},
           {"weighted", MixtureRule::kWeighted}})
      .needs(kSeveral, several);
  list.add("mixture_weights", c.mixture_weights,
           "chances of the data sets, of any sum, for example [3, 1]")
      .needs(kSeveral, several)
      .needs("mixture = weighted", [&c] { return c.mixture == MixtureRule::kWeighted; });
}

void settle_data_keys(const FieldList& list, RunConfig& config, std::vector<std::string>& notices) {
  DataConfig& d = config.data;
  const char *const kOurs = "include_prompts", *const kTheirs = "dont_include_prompts";
  if (d.dont_include_prompts && list.given_after(kTheirs, kOurs))
    d.include_prompts = !*d.dont_include_prompts;
  else if (d.dont_include_prompts && list.given(kTheirs))
    notices.push_back(fmt::format("{} = {} has no effect: {} was given after it", kTheirs,
                                  *d.dont_include_prompts ? "True" : "False", kOurs));
  d.dont_include_prompts.reset();

  const int64_t T = config.model.backbone.block_size;
  const bool ahead = config.model.ahead.predict_ahead;
  if (ahead && d.pack_rows)
    misuse(
        "pack_rows = true puts several rows into a sequence, and predict_ahead = true gives a "
        "sequence one shift token",
        "leave one of them out");
  if (d.long_rows == LongRows::kContinue && d.row_overlap >= T - ahead)
    misuse(fmt::format("row_overlap = {} is not below block_size = {}{}", d.row_overlap, T,
                       ahead ? ", of which predict_ahead = true takes one" : ""),
           "a smaller row_overlap");
  const size_t parts = data_parts(d.dataset).size();
  if (parts > 1 && d.mixture == MixtureRule::kWeighted && d.mixture_weights.size() != parts)
    misuse(fmt::format("mixture_weights has {} numbers for the {} data sets of dataset",
                       d.mixture_weights.size(), parts),
           "one for each, in their order, for example --mixture_weights=[3,1]");
}

DataOptions data_options(const RunConfig& config, const std::string& split, bool evaluation) {
  const DataConfig& d = config.data;
  DataOptions o;
  o.split = split;
  o.evaluation = evaluation;
  o.seed = static_cast<uint64_t>(config.training.seed);
  o.sequential = d.sampling == Sampling::kSequential;
  if (d.sampling == Sampling::kBatches)
    o.rows_of_batch = evaluation ? config.training.validation_batch_size.value_or(d.batch_size)
                                 : config.micro_batch_size();
  o.rows.T = config.model.backbone.block_size;
  o.rows.include_prompts = d.include_prompts;
  o.rows.long_rows = d.long_rows;
  o.rows.overlap = d.long_rows == LongRows::kContinue ? d.row_overlap : 0;
  o.rows.pack = d.pack_rows;
  o.rows.shuffle = d.shuffle_rows;
  o.mixture = d.mixture;
  if (d.mixture == MixtureRule::kWeighted) o.mixture_weights = d.mixture_weights;
  const AheadConfig& ahead = config.model.ahead;
  if (!ahead.predict_ahead) return o;
  // The shift token is one of the block's.
  o.rows.T -= 1;
  o.rows.ahead = ahead.max_shift - 1;
  o.shift.odds = ahead.odds();
  o.shift.text_vocab = config.model.backbone.vocab_size.value_or(0);
  if (evaluation) o.shift.fixed = ahead.shift;
  return o;
}

std::vector<std::string> keys_without_rows(const FieldList& list,
                                           const std::vector<Corpus>& corpora) {
  std::vector<std::string> sentences, names;
  bool is_generated = !corpora.empty();
  for (const Corpus& corpus : corpora) {
    if (corpus.has_rows()) return {};
    names.push_back(corpus.name());
    is_generated = is_generated && corpus.is_generated();
  }
  const char* const kind = is_generated       ? "is generated"
                           : names.size() > 1 ? "are texts"
                                              : "is a text";
  if (is_generated && list.given("sampling"))
    sentences.push_back(
        fmt::format("sampling has no effect: {} is generated in one order", kNumbers));
  for (const char* key : {"include_prompts", "dont_include_prompts", "long_rows", "row_overlap",
                          "fresh_rows", "pack_rows", "shuffle_rows"})
    if (list.given(key))
      sentences.push_back(fmt::format("{} has no effect: {} {}, not rows of prompts and answers",
                                      key, join(names, " and "), kind));
  return sentences;
}

}  // namespace fathom

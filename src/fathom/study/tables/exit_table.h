// Who answered: for each position of a text the layer that was confident first, and what every
// layer would have said. Torch-free: the numbers, and the report of them.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "fathom/report/report.h"

namespace fathom {

struct LayerGuess {
  struct Candidate {
    int64_t token = 0;
    std::string text;
    double p = 0;
  };
  std::vector<Candidate> best;  // likeliest first, at least one
  double p_truth = 0;           // of the token that really follows
  double score = 0;             // that the threshold is compared with; infinite: there was none yet
};

struct ExitRow {
  int64_t token = 0;      // that follows
  std::string truth;      // its text
  bool right = false;     // the answer is that token
  size_t exit = 0;        // index of the layer that answered, among those that can
  bool confident = true;  // false: none was, so the last one answered; in expectation never
  std::vector<LayerGuess> layers;

  const LayerGuess& answer() const { return layers[exit]; }
  const std::string& predicted() const { return answer().best.front().text; }
  double p_predicted() const { return answer().best.front().p; }
};

struct ExitTable {
  std::string run, source;         // "first", "shakespeare_char/val from 4,711"
  std::vector<int> layers;         // numbers of the layers that can answer
  std::vector<double> thresholds;  // of each; empty: nothing halts, the last one answers
  std::string rule;                // when a layer answers, to complete "A layer answers where ..."
  std::string first;               // the token before the first row
  std::vector<ExitRow> rows;
  // In loops a layer answers several times: what each answer is called ("2.0"), and how many layers
  // have been passed by then. Empty: the layer's number, and number + 1.
  std::vector<std::string> names = {};
  std::vector<int> depths = {};

  std::string name(size_t i) const { return names.empty() ? std::to_string(layers[i]) : names[i]; }
  int depth(size_t i) const { return depths.empty() ? layers[i] + 1 : depths[i]; }
  int depth() const { return layers.empty() ? 0 : depth(layers.size() - 1); }  // of them all
  std::string text() const;                                                    // all of it
  bool answers_early() const { return !thresholds.empty(); }
};

struct ExitSummary {
  std::vector<size_t> answers, right;  // by layer
  size_t fallback = 0;                 // no layer was sure
  double accuracy = 0;
  double mean_nats = 0;    // -ln p of the truth at the layer that answered
  double mean_layers = 0;  // computed until the answer: it and all before it, those in loops as
                           // often as they were passed; all of them where nothing halts
};
ExitSummary summarize(const ExitTable& table);
// Where no layer's score reached its threshold, so that the last one answered. What is said of it
// begins so everywhere; of a share of tokens (0 to 1; NaN: of none) unsure_text().
inline constexpr char kUnsure[] = "no layer was sure of";
std::string unsure_text(double share);
// "2.41 of 4 layers on average", or that no layer answers early.
std::string depth_sentence(const ExitTable& table);

// A token's text in one line: \n, \t, [space], escapes for what is no text or cannot be seen.
std::string visible_token(const std::string& text);

// For people: the text coloured by the layer that answered, wrong predictions underlined, with what
// each layer thought behind every token of a page, and the summary; in Markdown a row per position:
// GT, a column per layer with the prediction in the one that answered (both underlined if it was
// wrong), p(gt), p(pred). Where only the last layer answers there is nothing to tell apart, and no
// layer is named or coloured. For programs every number.
report::Report exit_report(const ExitTable& table);

}  // namespace fathom

#include "fathom/study/tables/guess_table.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "fathom/report/render.h"
#include "fathom/study/tables/exit_table.h"

namespace fathom {

void add_guesses(const GuessTable& table, const std::string& title, report::Report& report) {
  report::Table out;
  out.title = title;
  out.columns = {{"layer", report::Align::kLeft}};
  for (const std::string& token : table.seen)
    out.columns.push_back({visible_token(token), report::Align::kLeft});
  for (const GuessTable::Layer& layer : table.layers) {
    std::vector<report::Cell> cells = {layer.name};
    for (const GuessTable::Guess& guess : layer.guesses)
      cells.push_back(fmt::format("{} {:.2f}", visible_token(guess.text), guess.p));
    out.rows.push_back(std::move(cells));
  }
  report.add(std::move(out));
}

nlohmann::json guess_numbers(const GuessTable& table) {
  nlohmann::json seen = nlohmann::json::array(), layers = nlohmann::json::array();
  for (const std::string& token : table.seen) seen.push_back(report::json_word(token));
  for (const GuessTable::Layer& layer : table.layers) {
    nlohmann::json guesses = nlohmann::json::array();
    for (const GuessTable::Guess& guess : layer.guesses)
      guesses.push_back(
          {{"token", guess.token}, {"text", report::json_word(guess.text)}, {"p", guess.p}});
    layers.push_back({{"name", layer.name}, {"own_readout", layer.own}, {"guesses", guesses}});
  }
  return {{"seen", seen}, {"layers", layers}};
}

}  // namespace fathom

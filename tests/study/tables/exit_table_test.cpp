// The table of who answered, as numbers and as text.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <nlohmann/json.hpp>
#include <sstream>

#include "fathom/report/render.h"
#include "fathom/study/tables/exit_table.h"

namespace fathom {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

std::string terminal_text(const ExitTable& table, bool colour) {
  return report::render_terminal(exit_report(table), {80, colour});
}
std::string markdown(const ExitTable& table) {
  return report::render_markdown(exit_report(table));
}
std::string json_of(const ExitTable& table) {
  return report::render_json(exit_report(table));
}
std::string html_page(const ExitTable& table) {
  return report::render_html(exit_report(table));
}

LayerGuess guess(const std::string& text, double p, double p_truth) {
  return {{{1, text, p}, {25, "z", (1 - p) / 2}}, p_truth, p};
}

// "a\nb|c <" over two layers: answered by 0 right, by 1 wrong, by 0 right, by 1 right, by 1 wrong.
ExitTable example() {
  ExitTable t;
  t.run = "first <&>";
  t.source = "toy/val from token 7";
  t.layers = {0, 3};
  t.thresholds = {0.9, 0.5};
  t.first = "a";
  t.rows = {{0, "\n", true, 0, true, {guess("\n", 0.95, 0.95), guess("\n", 0.99, 0.99)}},
            {0, "b", false, 1, true, {guess("x", 0.4, 0.1), guess("y", 0.6, 0.25)}},
            {0, "|", true, 0, true, {guess("|", 0.9, 0.9), guess("|", 0.9, 0.9)}},
            {0, "c", true, 1, false, {guess("c", 0.3, 0.3), guess("c", 0.4, 0.4)}},
            {0, " ", false, 1, false, {guess("<", 0.3, 0.1), guess("<", 0.4, 0.2)}}};
  return t;
}

TEST(ExitTable, IsSummarised) {
  const ExitSummary s = summarize(example());
  EXPECT_THAT(s.answers, ElementsAre(2, 3));
  EXPECT_THAT(s.right, ElementsAre(2, 1));
  EXPECT_EQ(s.fallback, 2U);
  EXPECT_NEAR(s.accuracy, 3.0 / 5, 1e-12);
  EXPECT_NEAR(s.mean_layers, (1 + 4 + 1 + 4 + 4) / 5.0, 1e-12);
  EXPECT_EQ(depth_sentence(example()), "2.80 of 4 layers on average");
  EXPECT_NEAR(s.mean_nats, -std::log(0.95 * 0.25 * 0.9 * 0.4 * 0.2) / 5, 1e-12);
  const ExitSummary none = summarize({});
  EXPECT_EQ(none.accuracy, 0);
}

// Layer 3 is in a loop and answers twice, when 4 and 7 layers have been passed.
TEST(ExitTable, TellsTheIterationsOfALoopApart) {
  ExitTable t = example();
  t.layers = {3, 3};
  t.names = {"3.0", "3.1"};
  t.depths = {4, 7};
  EXPECT_NEAR(summarize(t).mean_layers, (4 + 7 + 4 + 7 + 7) / 5.0, 1e-12);
  EXPECT_EQ(depth_sentence(t), "5.80 of 7 layers on average");
  EXPECT_THAT(terminal_text(t, false), HasSubstr("\nb|c \n1011\n"));
  EXPECT_THAT(terminal_text(t, false), HasSubstr("3.1"));
  EXPECT_THAT(markdown(t), HasSubstr("L3.0"));
  EXPECT_THAT(html_page(t), HasSubstr("answered wrongly by layer 3.1"));
  t.thresholds.clear();
  EXPECT_THAT(depth_sentence(t), HasSubstr("all 7 layers"));
}

TEST(ExitTable, ItsTextIsTheTruth) {
  EXPECT_EQ(example().text(), "a\nb|c ");
}

TEST(VisibleToken, HasOneLineAndNoGaps) {
  EXPECT_EQ(visible_token("\n"), "\\n");
  EXPECT_EQ(visible_token("\t"), "\\t");
  EXPECT_EQ(visible_token(" the"), "[space]the");
  EXPECT_EQ(visible_token("\x01\x7f"), "\\x01\\x7f");
  EXPECT_EQ(visible_token("Ω"), "Ω");
  EXPECT_EQ(visible_token("\\"), "\\\\") << "or Markdown would take it for an escape";
  EXPECT_EQ(visible_token("\u009b"), "\\xc2\\x9b") << "a terminal's command";
  EXPECT_EQ(visible_token("\xce"), "\\xce") << "half a letter";
  EXPECT_EQ(visible_token("a\u200b"), "a\\u200b") << "nobody would see it";
}

// Cells of a Markdown row, unescaped.
std::vector<std::string> cells(const std::string& line) {
  std::vector<std::string> out(1);
  for (size_t i = 1; i < line.size(); ++i) {
    if (line[i] == '\\' && i + 1 < line.size() && line[i + 1] == '|')
      out.back() += line[++i];
    else if (line[i] == '|')
      out.emplace_back();
    else
      out.back() += line[i];
  }
  out.pop_back();
  for (std::string& cell : out) {
    const size_t from = cell.find_first_not_of(' ');
    cell = from == cell.npos ? "" : cell.substr(from, cell.find_last_not_of(' ') - from + 1);
  }
  return out;
}

TEST(Markdown, IsTheNotebooksTable) {
  const std::string text = markdown(example());
  EXPECT_THAT(text, ::testing::StartsWith("Sample text:\n\n    a\n    b|c \n"));
  std::istringstream lines(text.substr(text.find("| GT")));
  std::vector<std::vector<std::string>> rows;
  for (std::string line; std::getline(lines, line);) rows.push_back(cells(line));
  ASSERT_EQ(rows.size(), 2U + 5);
  EXPECT_THAT(rows[0], ElementsAre("GT", "L0", "L3", "p(gt)", "p(pred)"));
  EXPECT_THAT(rows[1], ElementsAre("---", "---", "---", "---", "---"));
  EXPECT_THAT(rows[2], ElementsAre("\\n", "\\n", "", "0.950", "0.950"));
  EXPECT_THAT(rows[3], ElementsAre("<u>b</u>", "", "<u>y</u>", "0.250", "0.600"));
  EXPECT_THAT(rows[4], ElementsAre("|", "|", "", "0.900", "0.900"));
  EXPECT_THAT(rows[5], ElementsAre("c", "", "c", "0.400", "0.400"));
  EXPECT_THAT(rows[6], ElementsAre("<u>[space]</u>", "", "<u>&lt;</u>", "0.200", "0.400"));
}

TEST(Json, HoldsEveryNumber) {
  const auto j = nlohmann::json::parse(json_of(example()));
  EXPECT_EQ(j["text"], "a\nb|c ");
  EXPECT_EQ(j["layers"], (std::vector<int>{0, 3}));
  EXPECT_EQ(j["answers"], (std::vector<int>{2, 3}));
  EXPECT_EQ(j["rows"].size(), 5U);
  EXPECT_EQ(j["rows"][1]["layer"], 3);
  EXPECT_EQ(j["rows"][1]["predicted"], "y");
  EXPECT_EQ(j["rows"][1]["right"], false);
  EXPECT_EQ(j["rows"][3]["confident"], false);
  EXPECT_EQ(j["rows"][1]["layers"][0]["best"][0]["text"], "x");
  EXPECT_EQ(j["rows"][1]["layers"][0]["best"][1]["token"], 25);
  ExitTable bytes = example();
  bytes.rows[0].truth = "\xff";
  bytes.rows[0].token = 255;
  const auto b = nlohmann::json::parse(json_of(bytes));
  EXPECT_EQ(b["rows"][0]["truth"], "\\xff");
  EXPECT_EQ(b["rows"][0]["token"], 255);
}

TEST(Terminal, ColoursByLayerOrNamesIt) {
  const std::string plain = terminal_text(example(), false);
  EXPECT_THAT(plain, Not(HasSubstr("\033")));
  // The line break that layer 0 foresaw has no place; below "b|c " stand its layers.
  EXPECT_THAT(plain, HasSubstr("\nb|c \n3033\n"));
  EXPECT_THAT(plain, HasSubstr("accuracy 0.600"));
  ExitTable wide = example();
  wide.rows[1].truth = "日";
  wide.rows[2].truth = "\t";
  EXPECT_THAT(terminal_text(wide, false), HasSubstr("\n日\\tc \n3 0 33\n"));
  const std::string coloured = terminal_text(example(), true);
  EXPECT_THAT(coloured, HasSubstr(";4mb\033[0m")) << "wrong ones are underlined";
  EXPECT_THAT(coloured, HasSubstr("m↵\033[0m\n"));
  EXPECT_THAT(coloured, HasSubstr("answered by"));
}

TEST(Html, IsOnePageThatEscapesItsText) {
  const std::string page = html_page(example());
  EXPECT_THAT(page, ::testing::StartsWith("<!doctype html>"));
  EXPECT_THAT(page, HasSubstr("first &lt;&amp;&gt;"));
  EXPECT_THAT(page, Not(HasSubstr("first <&>")));
  for (const char* foreign : {"http", "<script", "@import", "url("})
    EXPECT_THAT(page, Not(HasSubstr(foreign)));
  size_t tokens = 0;
  for (size_t at = 0; (at = page.find("tabindex=\"0\"", at)) != page.npos; ++at) ++tokens;
  EXPECT_EQ(tokens, 5U);
  EXPECT_THAT(page, HasSubstr("class=\"t l1 coloured marked\""));
  EXPECT_THAT(page, HasSubstr("truth <code>b</code>, answered wrongly by layer 3"));
}

// The last layer of five, with nothing that halts.
ExitTable plain_example() {
  ExitTable t = example();
  t.run = "plain";
  t.layers = {4};
  t.thresholds.clear();
  for (ExitRow& row : t.rows) {
    row.layers = {row.layers[row.exit]};
    row.exit = 0;
    row.confident = true;
  }
  return t;
}

// The same words for it everywhere.
TEST(ExitTable, SaysOfHowManyTokensNoLayerWasSure) {
  EXPECT_EQ(unsure_text(0.484), "no layer was sure of 48.4 % of the tokens");
  EXPECT_EQ(unsure_text(0), "a layer was sure of every token");
  for (const std::string& text : {terminal_text(example(), false), html_page(example())})
    EXPECT_THAT(text, HasSubstr(unsure_text(0.4)));
}

TEST(PlainModel, NoTextSaysThatOneOfItsLayersAnswered) {
  const ExitTable t = plain_example();
  EXPECT_EQ(summarize(t).mean_layers, 5);
  EXPECT_EQ(nlohmann::json::parse(json_of(t))["mean_layers"], 5);
  for (const std::string& text :
       {terminal_text(t, false), terminal_text(t, true), markdown(t), html_page(t)}) {
    EXPECT_THAT(text,
                HasSubstr("no layer answers early: all 5 layers are computed for every token"));
    for (const char* untrue : {" of 1 layers", "on average", "answered by", "layer that answer",
                               "threshold</th>", "threshold  ", kUnsure})
      EXPECT_THAT(text, Not(HasSubstr(untrue))) << untrue;
  }
  EXPECT_THAT(terminal_text(t, false), HasSubstr("\nb|c \n\nplain: "));
  EXPECT_THAT(terminal_text(t, true), HasSubstr("\033[4mb\033[0m|c"));
  EXPECT_THAT(html_page(t), HasSubstr("class=\"t marked\""));
  EXPECT_THAT(html_page(t), Not(HasSubstr(".l0 {")));
}

TEST(PlainModel, AModelOfOneLayerHasNoPlural) {
  ExitTable t = plain_example();
  t.layers = {0};
  EXPECT_THAT(terminal_text(t, false), HasSubstr("no layer answers early: the model has one"));
}

}  // namespace
}  // namespace fathom

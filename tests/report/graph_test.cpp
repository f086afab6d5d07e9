// Graphs: as text, what Graphviz is told and gives, and what is drawn of it.
#include "fathom/report/graph_layout.h"

#include <cstdlib>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "errors.h"
#include "fathom/io/program.h"
#include "fathom/report/gnuplot.h"
#include "fathom/report/svg.h"
#include "report/report_testing.h"

namespace fathom::report {
namespace {

using fathom::testing::caught;
using ::testing::HasSubstr;
using ::testing::Not;

// (2 * 3) + 2: the product is computed of both, the sum of it and of the first again.
Graph example_graph() {
  Graph graph;
  graph.title = "a program";
  graph.nodes = {{"a", {"2"}}, {"b", {"3"}}, {"x", {"multiply", "6"}, 0.9}, {"y", {"add", "8"}}};
  graph.nodes[3].marked = true;
  graph.edges = {{0, 2, "1st"}, {1, 2, "2nd"}, {2, 3, "1st"}, {0, 3, "2nd"}, {0, 3, ""}, {7, 1}};
  return graph;
}

Report report_of_graph(const Graph& graph) {
  Report report;
  report.add(graph);
  return report;
}

Graph graph_of(const std::string& text) {
  Graph graph = example_graph();
  graph.title = text;
  for (Graph::Node& node : graph.nodes) node.name = node.lines[0] = text;
  for (Graph::Edge& edge : graph.edges) edge.label = text;
  return graph;
}

TEST(Graphs, AreLinesWhereThereAreNoPictures) {
  const Report report = report_of_graph(example_graph());
  EXPECT_EQ(render_terminal(report),
            "a program\n"
            "  node               from\n"
            "  a     2\n"
            "  b     3\n"
            "  x     multiply, 6  a (1st), b (2nd)\n"
            "  y     add, 8       x (1st), a (2nd), a\n");
  EXPECT_THAT(render_markdown(report),
              HasSubstr("| x | multiply, 6 | a (1st), b (2nd) |\n| <u>y</u> | add, 8 |"));
  const auto json = nlohmann::json::parse(render_json(report))["parts"][0];
  EXPECT_EQ(json["kind"], "graph");
  EXPECT_EQ(json["nodes"][2],
            (nlohmann::json{
                {"name", "x"}, {"lines", {"multiply", "6"}}, {"marked", false}, {"shade", 0.9}}));
  EXPECT_EQ(json["edges"][1], (nlohmann::json{{"from", 1}, {"to", 2}, {"label", "2nd"}}));
  for (const std::string& text : hostile_texts()) {
    const Report hostile = report_of_graph(graph_of(text));
    EXPECT_EQ(nlohmann::json::parse(render_json(hostile))["parts"][0]["title"], json_word(text));
    EXPECT_THAT(render_terminal(hostile), Not(HasSubstr("\033")));
  }
}

TEST(Graphs, OfAnyTextsAreTheSameToGraphvizButForTheirWidths) {
  for (const std::string& text : hostile_texts())
    EXPECT_EQ(dot_source(graph_of(text))
                  .find_first_not_of("0123456789.abcdefghijklmnopqrstuvwxyzC[]{}=\",->\n T "),
              std::string::npos)
        << dot_source(graph_of(text));
}

constexpr const char* kPlain =
    "graph 1 2 4\nnode 0 1.5 3 1 0.5 \"\" solid box black lightgrey\n"
    "node 1 0.5 3 1 0.5 \"\" solid box black lightgrey\n"
    "edge 0 1 4 1 1 1.25 1.5 1.5 2 1.5 2.5 xxx 1 2 solid black\n"
    "edge 0 1 4 0 0 0 0 0 0 0 0 solid black\nstop\n";

TEST(Graphs, AreWhereGraphvizPutsThem) {
  Graph graph;
  graph.nodes = {{"a"}, {"b"}};
  graph.edges = {{0, 1, "1st"}, {0, 1}};
  const PlacedGraph placed = read_layout(graph, kPlain);
  EXPECT_EQ(placed.width, 144);
  EXPECT_EQ(placed.height, 288);
  EXPECT_EQ(placed.nodes[0].centre.x, 108);
  EXPECT_EQ(placed.nodes[0].centre.y, 72) << "from the top";
  ASSERT_EQ(placed.edges[0].points.size(), 4u);
  EXPECT_EQ(placed.edges[0].points[1].x, 90);
  EXPECT_EQ(placed.edges[0].points[1].y, 180);
  ASSERT_TRUE(placed.edges[0].label.has_value());
  EXPECT_EQ(placed.edges[0].label->y, 144);
  EXPECT_FALSE(placed.edges[1].label.has_value());
  const std::string plain = kPlain;
  for (const auto& [what, by] : std::vector<std::pair<std::string, std::string>>{
           {"stop\n", ""}, {"node 1", "node 2"}, {"edge 0 1", "edge 1 0"}, {"1.25", "nan"}}) {
    std::string wrong = plain;
    wrong.replace(wrong.find(what), what.size(), by);
    EXPECT_THAT(caught([&] { read_layout(graph, wrong); }).what(), HasSubstr("dot ")) << by;
  }
}

TEST(Graphs, AreDrawn) {
  if (find_program("dot").empty()) GTEST_SKIP() << "Graphviz is not installed";
  // Every hostile text at once, for each graph takes Graphviz a moment.
  Graph hostile_graph;
  for (const std::string& text : hostile_texts()) {
    hostile_graph.title += text;
    hostile_graph.nodes.push_back({text, {text}});
    hostile_graph.edges.push_back({0, hostile_graph.nodes.size() - 1, text});
  }
  const Report hostile = report_of_graph(hostile_graph);
  for (const Graph& drawn : {example_graph(), hostile_graph, Graph()}) {
    const Report report = report_of_graph(drawn);
    EXPECT_EQ(fault_of_xml(render_svg(report)), "");
    EXPECT_THAT(render_html(report), ::testing::EndsWith("</html>\n"));
  }
  const std::string svg = render_svg(report_of_graph(example_graph()));
  for (const char* text : {">multiply<", ">1st<", ">a program<"}) EXPECT_THAT(svg, HasSubstr(text));
  const Graph graph = example_graph();
  const PlacedGraph placed = layout_of(graph);
  for (size_t i = 0; i < 5; ++i) {
    const Graph::Edge& edge = graph.edges[i];
    ASSERT_GE(placed.edges[i].points.size(), 4u);
    EXPECT_LT(placed.nodes[edge.from].centre.y, placed.nodes[edge.to].centre.y) << "downwards";
    // It ends at the box it leads to.
    const Place end = placed.edges[i].points.back();
    const PlacedGraph::Box& box = placed.nodes[edge.to];
    EXPECT_NEAR(end.y, box.centre.y - box.height / 2, 2);
    EXPECT_LE(std::abs(end.x - box.centre.x), box.width / 2 + 2);
  }
  EXPECT_TRUE(placed.edges[5].points.empty()) << "there is no node 7";
  if (find_program("gnuplot").empty()) GTEST_SKIP() << "gnuplot is not installed";
  EXPECT_EQ(render_png(report_of_graph(example_graph())).substr(0, 8), "\x89PNG\r\n\x1a\n");
  EXPECT_EQ(render_png(hostile).substr(0, 8), "\x89PNG\r\n\x1a\n");
  EXPECT_FALSE(std::filesystem::exists("harm"));
}

TEST(Graphs, WithoutGraphvizSayWhatToInstall) {
  const std::string path = std::getenv("PATH");
  ::setenv("PATH", "/no/such", 1);
  const Error error = caught([] { render_svg(report_of_graph(example_graph())); });
  ::setenv("PATH", path.c_str(), 1);
  EXPECT_EQ(error.kind(), ErrorKind::kUsage);
  EXPECT_THAT(error.hint(), HasSubstr("apt-get install graphviz"));
}

}  // namespace
}  // namespace fathom::report

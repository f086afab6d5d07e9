#include "fathom/report/render.h"

namespace fathom::report {

std::string render(const Report& report, Format format, const TerminalOptions& options) {
  switch (format) {
    case Format::kMarkdown:
      return render_markdown(report);
    case Format::kJson:
      return render_json(report);
    case Format::kHtml:
      return render_html(report);
    case Format::kSvg:
      return render_svg(report);
    case Format::kPng:
      return render_png(report);
    case Format::kTerminal:
      break;
  }
  return render_terminal(report, options);
}

}  // namespace fathom::report

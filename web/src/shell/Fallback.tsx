import { Component, type ReactNode } from "react";
import { manuscript } from "../editor";
import { t } from "../i18n";

/** A part of the page that breaks says so in its place; the rest, and the manuscript first of all, goes on. */
export class Fallback extends Component<{ children: ReactNode }, { broken: boolean }> {
  override state = { broken: false };

  static getDerivedStateFromError() {
    return { broken: true };
  }

  override render() {
    if (!this.state.broken) return this.props.children;
    return (
      <div className="broken stack tight" role="alert">
        <p>{t("state.broken")}</p>
        <div className="row">
          <button type="button" className="button small" onClick={() => this.setState({ broken: false })}>
            {t("state.reopen")}
          </button>
          <button type="button" className="button small" onClick={() => manuscript().download()}>
            {t("state.download")}
          </button>
        </div>
      </div>
    );
  }
}

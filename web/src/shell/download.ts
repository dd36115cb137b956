import { ApiError, token, Unreachable } from "../api";

/** Fetch a file and hand it to the writer; a refusal is an error in the server's words, not a file that holds one. */
export async function download(address: string, name: string): Promise<void> {
  const secret = token();
  const response = await fetch(address, {
    headers: secret ? { authorization: `Bearer ${secret}` } : {},
    credentials: "same-origin",
  }).catch((cause: unknown) => {
    throw new Unreachable(cause);
  });
  if (!response.ok) {
    const { error } = (await response.json().catch(() => ({}))) as { error?: Record<string, string> };
    throw new ApiError(error?.message ?? response.statusText, response.status, error?.code ?? "", error?.next ?? "");
  }
  const said = /filename\*=UTF-8''([^;]+)/i.exec(response.headers.get("content-disposition") ?? "");
  save(await response.blob(), said ? decodeURIComponent(said[1]!) : name);
}

export function save(data: Blob, name: string): void {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(data);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}

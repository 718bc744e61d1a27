import { MongoClient } from 'mongodb';
import { storageError } from '../../storage/errors.ts';
import { messageOf } from '../error_text.ts';

const ANSWER_MS = 5_000;

/** A database that the story has to itself on the user's MongoDB: what is production's there is never touched. */
export class OwnDatabase {
  readonly name: string;
  readonly uri: string;
  readonly #client: MongoClient;

  private constructor(name: string, uri: string, client: MongoClient) {
    this.name = name;
    this.uri = uri;
    this.#client = client;
  }

  /**
   * Makes sure that it can be written to.
   * @param usersUri with credentials, as the user has it
   * @throws an error of one line, which does not quote the URI
   */
  static async make(name: string, usersUri: string): Promise<OwnDatabase> {
    const uri = withDatabase(usersUri, name);
    const own = new OwnDatabase(name, uri, clientOf(uri));
    try {
      // Whoever may make a collection may write: known now, not by policies that wait.
      await own.#client.db(name).createCollection('policies');
    } catch (error) {
      // There from a former run with the same folder.
      if ((error as { codeName?: unknown }).codeName === 'NamespaceExists') return own;
      await own.#client.close();
      throw notMade(messageOf(storageError(error, own.#hosts())));
    }
    return own;
  }

  /** Drops it; says so where that is not allowed. */
  async remove(log: (line: string) => void): Promise<void> {
    try {
      await this.#client.db(this.name).dropDatabase();
    } catch (error) {
      log(`the database ${this.name} is still there, drop it: ${messageOf(storageError(error, this.#hosts()))}`);
    } finally {
      await this.#client.close();
    }
  }

  #hosts(): string {
    const { srvHost, hosts } = this.#client.options;
    return srvHost ?? hosts.join(',');
  }
}

/**
 * The URI with another database. Where it does not say in which one its user is known, that was the former one: so it
 * says so now. With `mongodb+srv` that is a matter of the DNS record, which goes before.
 */
export function withDatabase(uri: string, name: string): string {
  const [, server = '', former = '', query = ''] = /^([^/]+\/\/[^/?]+)\/?([^?]*)\??(.*)$/.exec(uri) ?? [];
  const known = !server.includes('@') || server.startsWith('mongodb+srv:') || /(^|&)authSource=/i.test(query);
  const options = [query, known ? '' : `authSource=${former || 'admin'}`].filter((part) => part !== '').join('&');
  return `${server}/${name}${options && `?${options}`}`;
}

function clientOf(uri: string): MongoClient {
  try {
    return new MongoClient(uri, { serverSelectionTimeoutMS: ANSWER_MS, connectTimeoutMS: ANSWER_MS });
  } catch {
    throw notMade('expected mongodb://host:port/database or mongodb+srv://…, found something else');
  }
}

function notMade(reason: string): Error {
  return new Error(
    `MONGODB_URI: the demo could not get a database of its own there (${reason}): unset MONGODB_URI, and npm start brings a MongoDB server`,
  );
}
